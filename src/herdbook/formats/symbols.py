"""What a pickle would build, in symbols: nothing is imported, nothing is called."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

KEPT_TEXT_BYTES: Final = 16 * 2**20
KEPT_SYMBOLS: Final = 400_000
KEPT_IMPORTS: Final = 1_000


class _Unknown:
    """A value that was not kept."""


UNKNOWN: Final = _Unknown()
NO_TEXT: Final = _Unknown()  # bytes, floats, sets: known not to be the name of anything


@dataclass(frozen=True, slots=True)
class Global:
    """A name that unpickling imports."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Persistent:
    """A value that lies elsewhere, known by what the writer put here."""

    id: Any


@dataclass(slots=True)
class Call:
    """What unpickling would call, and what it would then put into the result."""

    function: Any
    arguments: Any
    items: dict[Any, Any] = field(default_factory=dict)
    state: Any = None


class Machine:
    """The stack machine of pickles over symbols; it never fails, but says what does not fit.

    Attributes:
        imports: what would be imported, in that order.
        calls: how many times something would be called.
        fits: whether every opcode found on the stack what it takes; else unpickling fails here.
    """

    def __init__(self) -> None:
        self.imports: dict[str, None] = {}
        self.calls = 0
        self.fits = True
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._text_left = KEPT_TEXT_BYTES
        self._left = KEPT_SYMBOLS

    @property
    def result(self) -> Any:
        """What the pickle gives, once STOP was reached."""
        return self._stack[-1] if self._stack else UNKNOWN

    @property
    def whole(self) -> bool:
        """Whether exactly one value is left, as at the end of a pickle."""
        return self.fits and len(self._stack) == 1 and not self._marks

    def step(self, opcode: str, argument: Any) -> None:
        """Do in symbols what an opcode does."""
        _STEPS[opcode](self, argument)

    def push(self, value: Any) -> None:
        """Put a value on the stack, UNKNOWN in its place once too much is kept."""
        self._left -= 1
        if isinstance(value, str):
            self._text_left -= len(value)
        kept = self._left > 0 and self._text_left > 0
        self._stack.append(value if kept else UNKNOWN)

    def pop(self) -> Any:
        """Take the topmost value."""
        if not self._stack:
            self.fits = False
            return UNKNOWN
        return self._stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Take what lies above the topmost mark, and the mark."""
        if not self._marks or self._marks[-1] > len(self._stack):
            self.fits = False
            self._marks.clear()
            return []
        at = self._marks.pop()
        found = self._stack[at:]
        del self._stack[at:]
        return found

    def mark(self) -> None:
        """Remember this height of the stack."""
        self._marks.append(len(self._stack))

    def drop(self) -> None:
        """Take away a value, or the mark when that is topmost."""
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self.pop()

    def top(self) -> Any:
        """Give the topmost value and leave it there."""
        if not self._stack:
            self.fits = False
            return UNKNOWN
        return self._stack[-1]

    def remember(self, at: int | None) -> None:
        """Put the topmost value into the memo."""
        if len(self._memo) < KEPT_SYMBOLS:
            self._memo[len(self._memo) if at is None else at] = self.top()

    def recall(self, at: int) -> None:
        """Push a value of the memo."""
        self.fits &= at in self._memo or len(self._memo) >= KEPT_SYMBOLS
        self.push(self._memo.get(at, UNKNOWN))

    def name(self, module: Any, name: Any) -> Global:
        """Note an import; a name that is no known text is written as a question mark."""
        words = (word if isinstance(word, str) else "?" for word in (module, name))
        found = Global(*(word[:200] for word in words))
        if len(self.imports) < KEPT_IMPORTS:
            self.imports.setdefault(str(found))
        return found

    def call(self, function: Any, arguments: Any) -> None:
        """Note a call and push what stands for its result."""
        self.calls += 1
        self.push(Call(function, arguments))


def _store(target: Any, pairs: list[Any]) -> None:
    items = target.items if isinstance(target, Call) else target
    if isinstance(items, dict):
        for key, value in zip(pairs[::2], pairs[1::2], strict=False):
            if isinstance(key, str | int):
                items[key] = value


def _append(machine: Machine, values: list[Any]) -> None:
    if isinstance(machine.top(), list):
        machine.top().extend(values)


def _tuple(count: int) -> Callable[[Machine, Any], None]:
    def step(machine: Machine, _: Any) -> None:
        machine.push(tuple([machine.pop() for _ in range(count)][::-1]))

    return step


def _dict(machine: Machine, _: Any) -> None:
    made: dict[Any, Any] = {}
    _store(made, machine.pop_to_mark())
    machine.push(made)


def _set_item(machine: Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _store(machine.top(), [key, value])


def _set_items(machine: Machine, _: Any) -> None:
    pairs = machine.pop_to_mark()
    _store(machine.top(), pairs)


def _append_many(machine: Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    _append(machine, values)


def _append_one(machine: Machine, _: Any) -> None:
    value = machine.pop()
    _append(machine, [value])


def _stack_global(machine: Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.fits &= _may_be_text(module) and _may_be_text(name)
    if machine.fits:
        machine.push(machine.name(module, name))


def _may_be_text(value: Any) -> bool:
    return value is UNKNOWN or isinstance(value, str | Call | Persistent)


def _reduce(machine: Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.call(function, arguments)


def _new_with_keywords(machine: Machine, _: Any) -> None:
    machine.pop()
    _reduce(machine, None)


def _object(machine: Machine, _: Any) -> None:
    found = machine.pop_to_mark()
    machine.fits &= bool(found)
    machine.call(found[0] if found else UNKNOWN, tuple(found[1:]))


def _instance(machine: Machine, names: Any) -> None:
    arguments = tuple(machine.pop_to_mark())
    machine.call(machine.name(*names), arguments)


def _build(machine: Machine, _: Any) -> None:
    state, target = machine.pop(), machine.top()
    machine.calls += 1
    if isinstance(target, Call):
        target.state = state


def _nothing(machine: Machine, _: Any) -> None:
    pass


def _value(machine: Machine, argument: Any) -> None:
    machine.push(UNKNOWN if argument is None else argument)


def _no_text(machine: Machine, _: Any) -> None:
    machine.push(NO_TEXT)


def _forget(machine: Machine, _: Any) -> None:
    machine.pop_to_mark()


def _sum(machine: Machine, _: Any) -> None:
    machine.pop_to_mark()
    machine.push(NO_TEXT)


_STEPS: Final[dict[str, Callable[[Machine, Any], None]]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP", "READONLY_BUFFER"), _nothing),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _value),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINFLOAT"), _value),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _value),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _no_text),
    **dict.fromkeys(("NEXT_BUFFER", "FLOAT", "EMPTY_SET"), _no_text),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),  # noqa: FBT003 - the value itself
    "NEWFALSE": lambda machine, _: machine.push(False),  # noqa: FBT003 - the value itself
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": _dict,
    "FROZENSET": _sum,
    "ADDITEMS": _forget,
    "APPEND": _append_one,
    "APPENDS": _append_many,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": _forget,
    "DUP": lambda machine, _: machine.push(machine.top()),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, at: machine.recall(at)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, at: machine.remember(at)),
    "MEMOIZE": lambda machine, _: machine.remember(None),
    "GLOBAL": lambda machine, names: machine.push(machine.name(*names)),
    "STACK_GLOBAL": _stack_global,
    "INST": _instance,
    "OBJ": _object,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "BUILD": _build,
    **dict.fromkeys(
        ("EXT1", "EXT2", "EXT4"),
        lambda machine, code: machine.push(machine.name("copyreg extension", str(code))),
    ),
    "PERSID": lambda machine, id: machine.push(Persistent(id)),
    "BINPERSID": lambda machine, _: machine.push(Persistent(machine.pop())),
}
