"""The diagnosis service: which version of the model answers is the register's to say.

Start it with `uvicorn service:app --workers 2`; the register is the one of the environment.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from typing import Annotated, Any

import gnn
import plant
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel

import herdbook
from herdbook.asgi import query, served
from herdbook.front.calls import Call
from herdbook.loader import load

book = herdbook.connect()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Send what is still recorded when the service ends."""
    yield
    await asyncio.to_thread(book.close)


app = FastAPI(title="Diagnosis", lifespan=lifespan)
moments = count()

# This is all that the experiments need: a call begins, is timed, and recorded when it ends.
Gnn = Annotated[Call, Depends(served(book, "gnn", unit=query("user_id")))]


class Diagnosis(BaseModel):
    """What a client is told."""

    equipment_id: str
    faulty: bool
    anomaly_score: float
    confidence: float
    version: str
    experiment: str
    variant: str


@app.get("/health")
async def health() -> str:
    """Say that the service is there."""
    return "ok"


@app.post("/diagnosis/create")
async def create_diagnosis(equipment_id: str, user_id: str, call: Gnn) -> Diagnosis:  # noqa: ARG001
    """Say whether a piece of equipment is faulty, by the version that serves this user."""
    weights = held.get(call.ref)
    if weights is None:
        weights = await asyncio.to_thread(weights_of, call.ref)
    try:
        found = gnn.predict(weights, readings_of(equipment_id))
    except gnn.NoDiagnosis as problem:
        raise HTTPException(500, {"detail": str(problem), **told(call)}) from problem
    call.observe(confidence=found.confidence, prediction=found.anomaly_score)
    return Diagnosis(
        equipment_id=equipment_id,
        faulty=found.anomaly_score > 0.5,
        anomaly_score=found.anomaly_score,
        confidence=found.confidence,
        **told(call),
    )


def readings_of(equipment_id: str) -> plant.Array:
    """Ask a machine's sensors; for one that is not there the client is told so."""
    try:
        return plant.read(equipment_id, next(moments))
    except KeyError:
        raise HTTPException(404, f"there is no {equipment_id}") from None


def told(call: Call) -> dict[str, str]:
    """Say which version answers, and in which experiment."""
    given = call.assignment
    return {
        "version": given.version,
        "experiment": given.experiment,
        "variant": given.variant,
    }


held: dict[str, dict[str, Any]] = {}


@cache
def weights_of(ref: str) -> dict[str, Any]:
    """Load a version's bytes from the register, once; they are verified on the way."""
    found: dict[str, Any] = load(f"herdbook:{ref}").model
    held[ref] = found
    return found
