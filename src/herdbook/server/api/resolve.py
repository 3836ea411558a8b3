"""The hot path: what a reference points at, with an ETag, without a framework in between."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from herdbook.core.access import Action
from herdbook.core.refs import VersionRef
from herdbook.server.answers import ask, caller, is_held, json_text, register, tag
from herdbook.server.routing import Bare
from herdbook.services import versions


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reference points at, as it is sent."""

    model: str
    text: str
    mark: str


async def resolve(request: Request) -> Response:
    """Give the version a reference points at, or 304 when the caller has it already."""
    ref = request.path_params["ref"]
    memory = register(request).memory()
    answer: Answer | None = None if memory is None else memory.get(ref)
    if answer is None:
        text = await ask(request, versions.text, ref)
        answer = Answer(VersionRef.parse(ref).model, text, tag(text))
        if memory is not None:
            memory[ref] = answer
    else:
        caller(request).actor.allow(Action.READ, answer.model)
    headers = {"ETag": answer.mark, "Cache-Control": "no-cache"}
    if is_held(request, answer.mark):
        return Response(status_code=304, headers=headers)
    return json_text(answer.text, headers=headers)


RESOLVE = Bare("/resolve/{ref:path}", resolve, policy=Action.READ)
