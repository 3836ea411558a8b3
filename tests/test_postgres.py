"""The PostgreSQL of the tests itself."""

from sqlalchemy import create_engine, text

from tests.postgres import PostgresServer, fresh_database


def test_a_fresh_database_is_empty_and_speaks_utf8(postgres_url: str) -> None:
    engine = create_engine(postgres_url)

    with engine.connect() as connection:
        tables = connection.scalar(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        )
        encoding = connection.scalar(text("SHOW server_encoding"))

    engine.dispose()
    assert (tables, encoding) == (0, "UTF8")


def test_a_fresh_database_is_dropped_even_with_a_connection_left_open(
    postgres_server: PostgresServer,
) -> None:
    with fresh_database(postgres_server) as url:
        name = url.partition("/test_")[2].partition("?")[0]
        engine = create_engine(url)
        left_open = engine.connect()

    with postgres_server.connect() as connection:
        query = "SELECT count(*) FROM pg_database WHERE datname = %s"
        found = connection.execute(query, [f"test_{name}"]).fetchone()
    left_open.invalidate()
    engine.dispose()
    assert found == (0,)


def test_no_network_address_is_listened_on(postgres_server: PostgresServer) -> None:
    with postgres_server.connect() as connection:
        addresses = connection.execute("SHOW listen_addresses").fetchone()

    assert addresses == ("",)


def test_embeddings_have_their_column_type(postgres_url: str) -> None:
    engine = create_engine(postgres_url)

    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
        distance = connection.scalar(text("SELECT '[1,2]'::vector <-> '[1,4]'::vector"))

    engine.dispose()
    assert distance == 2
