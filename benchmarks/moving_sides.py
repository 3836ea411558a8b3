"""Bare loops of the stores' own clients: read documents from one collection, write them to another.

What anybody would write by hand, with the same batch: no stamps, no ledger, no way back.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BATCH: Final = 1_000
DIMENSION: Final = 384
Vectors = NDArray[np.float32]


def texts(count: int) -> list[str]:
    """Give texts of some sixty words; each says its number."""
    words = " ".join(f"word{at}" for at in range(60))
    return [f"{at} {words} and the end of text {at}" for at in range(count)]


def metadata(at: int) -> dict[str, Any]:
    """Give the five keys of a document."""
    return {"n": at, "source": f"file{at % 97}", "page": at % 11, "lang": "en", "kind": "text"}


def unit(count: int, *, seed: int) -> Vectors:
    """Give random vectors of length 1."""
    found = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


class Precomputed:
    """An encoder that knows every answer: the number a text begins with is its row.

    Args:
        count: of documents.
        seed: of the vectors.
    """

    def __init__(self, count: int, *, seed: int) -> None:
        self.vectors = unit(count, seed=seed)
        self.digest = f"precomputed:{seed}"

    def __call__(self, given: list[str]) -> Vectors:
        """Look vectors up."""
        rows = [int(text.partition(" ")[0]) if text[:1].isdigit() else 0 for text in given]
        found: Vectors = self.vectors[rows]
        return found


def timed(loop: Callable[[], int]) -> dict[str, float]:
    """Run a loop; give documents a second by the clock and by this process's CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    done = loop()
    return {
        "wall": done / (time.perf_counter() - began),
        "cpu": done / max(1e-9, time.process_time() - cpu),
    }


def lancedb_loop(address: str, source: str, target: str, embed: Any) -> int:
    """Copy a LanceDB table."""
    import lancedb
    import pyarrow as pa

    database = lancedb.connect(address.partition(":")[2])
    table = database.open_table(source)
    schema = table.schema
    made = database.create_table(target, schema=schema, mode="overwrite")
    done = 0
    for batch in table.search().to_batches(BATCH):
        columns = {name: batch.column(name) for name in schema.names}
        if embed is not None:
            rows = embed(batch.column("text").to_pylist())
            flat = pa.array(rows.reshape(-1))
            columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, DIMENSION)
        made.add(pa.table(columns, schema=schema))
        done += batch.num_rows
    return done


def lancedb_rows_loop(address: str, source: str, target: str, embed: Any) -> int:
    """Copy a LanceDB table as one does by hand: rows as dictionaries."""
    import lancedb

    database = lancedb.connect(address.partition(":")[2])
    table = database.open_table(source)
    made = database.create_table(target, schema=table.schema, mode="overwrite")
    done = 0
    for batch in table.search().to_batches(BATCH):
        rows = batch.to_pylist()
        if embed is not None:
            for row, vector in zip(rows, embed([row["text"] for row in rows]), strict=True):
                row["vector"] = vector
        made.add(rows)
        done += len(rows)
    return done


def chroma_loop(address: str, source: str, target: str, embed: Any) -> int:
    """Copy a Chroma collection through the client that has the folder open."""
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(
        address.partition(":")[2], Settings(anonymized_telemetry=False)
    )
    table = client.get_collection(source)
    made = client.create_collection(target, metadata={"hnsw:space": "cosine"})
    done = 0
    while True:
        found = table.get(
            limit=BATCH, offset=done, include=["documents", "metadatas", "embeddings"]
        )
        if not found["ids"]:
            return done
        vectors = found["embeddings"] if embed is None else embed(found["documents"])
        made.add(
            ids=found["ids"],
            documents=found["documents"],
            metadatas=found["metadatas"],
            embeddings=vectors,
        )
        done += len(found["ids"])


def qdrant_loop(client: Any, source: str, target: str, embed: Any) -> int:
    """Copy a Qdrant collection."""
    from qdrant_client import models

    params = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
    client.create_collection(target, vectors_config=params)
    offset, done = None, 0
    while True:
        points, offset = client.scroll(
            source, limit=BATCH, offset=offset, with_payload=True, with_vectors=True
        )
        vectors: Any = [point.vector for point in points]
        if embed is not None:
            vectors = embed([point.payload["page_content"] for point in points]).tolist()
        client.upsert(
            target,
            models.Batch(
                ids=[point.id for point in points],
                vectors=vectors,
                payloads=[point.payload for point in points],
            ),
        )
        done += len(points)
        if offset is None:
            return done


def pgvector_loop(conninfo: str, source: str, target: str, embed: Any) -> int:
    """Copy a table of pgvector."""
    import psycopg
    from pgvector.psycopg import register_vector
    from psycopg.types.json import Jsonb

    read = f'SELECT id, document, metadata, embedding FROM "{source}"'  # noqa: S608
    write = (
        f'INSERT INTO "{target}" (id, document, metadata, embedding) '  # noqa: S608
        "VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET document = excluded.document, "
        "metadata = excluded.metadata, embedding = excluded.embedding"
    )
    done, last = 0, ""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        register_vector(connection)
        connection.execute(f'CREATE TABLE "{target}" (LIKE "{source}" INCLUDING ALL)')
        while True:
            rows = connection.execute(
                read + " WHERE id > %s ORDER BY id LIMIT %s", (last, BATCH)
            ).fetchall()
            if not rows:
                return done
            vectors = [row[3] for row in rows] if embed is None else embed([r[1] for r in rows])
            with connection.cursor() as cursor, connection.transaction():
                cursor.executemany(
                    write,
                    [
                        (row[0], row[1], Jsonb(row[2]), vector)
                        for row, vector in zip(rows, vectors, strict=True)
                    ],
                )
            done, last = done + len(rows), rows[-1][0]


def langchain_loop(client: Any, source: str, target: str, embed: Any) -> int:
    """Copy a Chroma collection as one does with LangChain: texts and metadata, embedded again."""
    from langchain_chroma import Chroma
    from langchain_core.embeddings import Embeddings

    class Embedder(Embeddings):
        """Looks vectors up."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            found: list[list[float]] = embed(texts).tolist()
            return found

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    old = Chroma(collection_name=source, client=client)
    new = Chroma(collection_name=target, client=client, embedding_function=Embedder())
    done = 0
    while True:
        found = old.get(limit=BATCH, offset=done)
        if not found["ids"]:
            return done
        new.add_texts(found["documents"], metadatas=found["metadatas"], ids=found["ids"])
        done += len(found["ids"])
