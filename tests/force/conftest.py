"""Every test here runs on a register of each kind."""

from tests.registers import (
    database,
    postgres_template,
    register,
    register_url,
    sqlite_template,
)

__all__ = ["database", "postgres_template", "register", "register_url", "sqlite_template"]
