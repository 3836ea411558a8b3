"""Record results of calls: a write into this process's journal, brought to the register later.

A thread folds what was recorded and sends it every quarter of a second. Whatever is killed, each
result counts once: what is in the journal of a dead process is sent by whoever lives. Recording
never raises and never waits; what finds no room is counted, and said.
"""

import atexit
import logging
import math
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from herdbook.errors import HerdbookError
from herdbook.front.delivering import Delivery, Marks, deliver_orphans, owner_of
from herdbook.front.door import Door
from herdbook.front.labelling import Labels
from herdbook.front.references import References
from herdbook.front.sampling import Sampler
from herdbook.services.folding import Meaning
from herdbook.storage.journal import Journal, Sizes, Writer, create

INTERVAL_SECONDS: Final = 0.25
# How often the dead are looked for, and how often a journal that could not be made is tried again.
ADOPT_SECONDS: Final = 2.0
LEAD_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 5.0
SETTLE_SECONDS: Final = 0.1
SAY_AGAIN_SECONDS: Final = 60.0

_log = logging.getLogger("herdbook")


class Recorder:
    """Records results, and brings them to the register.

    Attributes:
        record: `record(label, unit, time, confidence, error, began)` records a result; see
            `Writer.result`. 400 ns at most, from any thread.
        started: `started(label)` says that a call begins, and gives what `record` takes as `began`.
            Calls that began and whose process died count as errors.
        finished: `finished(label, began=…)` says that a call that began ends without a result.
        sampler: records samples of versions that are watched.
        chores: called about every two seconds by the thread that sends.

    Args:
        door: the register.
        folder: where journals are, of all processes of this user on this machine.
        identity: as whom the door acts: journals of others are left alone.
        sizes: of the journal.
        interval: seconds between deltas.
        look: called about every second by the thread that sends, to look at experiments.
    """

    def __init__(
        self,
        door: Door,
        folder: Path,
        *,
        identity: str = "",
        sizes: Sizes | None = None,
        interval: float = INTERVAL_SECONDS,
        look: Callable[[], None] | None = None,
    ) -> None:
        self._door = door
        self._look = look or (lambda: None)
        self._folder = folder
        self._owner = owner_of(door, identity)
        self._sizes = sizes
        self._interval = interval
        self._labels = Labels(partial(self._say, "label"))
        self._closed = False
        self._references = References(door)
        self._marks: Marks = deque()
        self.chores: list[Callable[[], None]] = []
        self._begin_anew()
        self._writer = Writer(self._begin, self._wake)
        self.record: Callable[..., bool] = self._writer.result
        self.started: Callable[[int], bool] = self._writer.started
        self.finished: Callable[..., None] = self._writer.finished
        self.sampler = Sampler(
            self._writer, self._labels, self._references, self._marks, self.flush
        )
        _recorders.add(self)

    def _begin_anew(self) -> None:
        """Hold nothing yet: at the beginning, and in the child of a fork."""
        self._sending = threading.Lock()
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._journal: Journal | None = None
        self._delivery: Delivery | None = None
        self._leaving: list[tuple[Delivery, Journal, int]] = []
        self._beginning = False
        self._broken = ""
        self._dropped_before = self._dropped_said = 0
        self._said: dict[str, float] = {}
        self._led_at = self._adopted_at = self._healed_at = -math.inf
        self._resume_at = 0.0
        self._failures = 0
        self._stuck = (0, 0.0)

    # --- what is recorded ---

    def label(self, experiment: str, phase: int, arm: str, metric: str = "") -> int:
        """Give the number under which an arm, or a metric of it, is recorded; 0 for one that can't.

        What is recorded under 0 counts as dropped.
        """
        return self._labels.number(experiment, phase, arm, metric)

    def measure(self, label: int, name: str, value: float, unit: int | None = None) -> bool:
        """Record a number beside a result.

        Args:
            label: whose, as `label` gave it.
            name: of the metric.
            value: any finite number.
            unit: the hash of the unit; None when it has none.
        """
        return self._writer.measured(self._labels.beside(label, name), value, unit)

    def prepare(self) -> None:
        """Begin what the first record would begin: a journal, and the thread that sends it."""
        self._writer.prepare()

    @property
    def dropped(self) -> int:
        """How many results, and numbers beside them, this process could not keep."""
        journal = self._journal
        held = 0 if journal is None else journal.dropped
        return self._dropped_before + held + self._writer.unheld

    # --- the thread ---

    def _wake(self) -> None:
        if self._signal.empty():
            self._signal.put(None)

    def _begin(self) -> Journal | None:
        """Begin a journal, and a thread that sends it: at the first record of a process."""
        if self._closed or self._beginning or self._broken or self._journal is not None:
            return None
        # A signal's handler that records meanwhile does not begin another one.
        self._beginning = True
        try:
            journal = self._new_journal()
            self._start_thread()
        finally:
            self._beginning = False
        return journal

    def _new_journal(self) -> Journal | None:
        try:
            journal = self._labels.journal(self._made)
        except (OSError, HerdbookError, ValueError) as problem:
            self._broken = str(problem)
            return None
        self._broken = ""
        self._journal = journal
        known, references = self._labels.known, self._references
        self._delivery = Delivery(self._door, journal, known, references, self._marks)
        return journal

    def _made(self, labels: Sequence[Meaning]) -> Journal:
        return create(self._folder, labels, owner=self._owner, sizes=self._sizes)

    def _start_thread(self) -> None:
        try:
            self._thread = threading.Thread(
                target=self._work, name="herdbook-recorder", daemon=True
            )
            self._thread.start()
        except RuntimeError as problem:
            # Too many threads, or the interpreter ends: the journal waits for whoever lives.
            self._thread = None
            self._say("begin", f"recorded results wait in {self._folder}: {problem}")
        if "multiprocessing.util" in sys.modules:
            # Its children end without what is registered with atexit.
            from multiprocessing import util

            util.Finalize(None, _close_all, exitpriority=10)

    def _work(self) -> None:
        while not self._closed:
            with suppress(Empty):
                self._signal.get(timeout=self._interval)
            if not self._closed:
                self._tick()

    def _tick(self) -> None:
        try:
            self._writer.look_at_the_clock()
            self._references.forget_old()
            self._heal()
            self._say_dropped()
            if time.monotonic() >= self._resume_at:
                self.flush()
                self._look_for_the_dead()
                self._lead()
                self._well()
        except Exception as problem:  # noqa: BLE001 - the door of this thread
            self._ill(problem)

    def _ill(self, problem: Exception) -> None:
        self._failures += 1
        wait = min(PATIENCE_SECONDS, self._interval * 2 ** min(self._failures, 10))
        self._resume_at = time.monotonic() + wait
        kept = "recorded results are kept until the register takes them"
        self._say("send", f"{kept}: {problem}", also=not isinstance(problem, HerdbookError))

    def _well(self) -> None:
        if self._failures:
            _log.info("the register takes recorded results again")
            self._failures = 0
            self._said.pop("send", None)

    def _say(self, what: str, text: str, *, also: bool = False) -> None:
        """Say something, and not again for a while; with where it happened if that helps."""
        now = time.monotonic()
        if now - self._said.get(what, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._said[what] = now
            _log.warning(text, exc_info=also)

    def _heal(self) -> None:
        """Begin a journal where one could not be made, or where it was removed."""
        old, now = self._journal, time.monotonic()
        if (old is not None and old.is_there) or now - self._healed_at < ADOPT_SECONDS:
            return
        self._healed_at = now
        with self._sending:
            delivery, journal = self._delivery, self._new_journal()
            if journal is not None:
                end = self._writer.exchange(journal)
                if old is not None and delivery is not None:
                    self._leaving.append((delivery, old, end))
        if journal is None:
            self._say("begin", f"there can be no journal of results: {self._broken}")

    def _say_dropped(self) -> None:
        dropped = self.dropped
        if dropped > self._dropped_said:
            self._dropped_said = dropped
            self._say("dropped", f"{dropped} recorded results found no room and are dropped")
        for (model, number), count in list(self._references.left_out.items()):
            version = f"{model}:{number}"
            self._say(
                version,
                f"{count} samples of {version} are left out: it is not watched; freeze its "
                "references with a detector's freeze(), or book.drift.watch()",
            )

    # --- sending ---

    def flush(self) -> None:
        """Send what is recorded by now.

        Raises:
            HerdbookError: the register cannot take it now; nothing is lost.
        """
        with self._sending:
            self._leave()
            self._writer.settle()
            if self._journal is not None and self._delivery is not None:
                self._delivery.run(self._end(self._journal, self._writer.head()))

    def _leave(self) -> None:
        """Bring journals to their end whose file was removed."""
        while self._leaving:
            delivery, journal, end = self._leaving[0]
            _settle(journal, end)
            delivery.run(end)
            self._dropped_before += journal.dropped
            self._leaving.pop(0)
            journal.close()

    def _end(self, journal: Journal, head: int) -> int:
        """Give up to where every record is there, for whoever took a place may not be done yet."""
        end = journal.written(journal.state.tail, head)
        now = time.monotonic()
        if end == head or end != self._stuck[0]:
            self._stuck = (end, now)
        elif now - self._stuck[1] > PATIENCE_SECONDS:
            # Whoever took it was interrupted: a Ctrl-C between two steps.
            self._writer.void(end)
        return end

    def adopt(self) -> int:
        """Send what dead processes left in the folder; gives how many journals that were.

        Raises:
            HerdbookError: the register cannot take it now; nothing is lost.
        """
        return deliver_orphans(self._door, self._folder, self._references, owner=self._owner)

    def _lead(self) -> None:
        now = time.monotonic()
        if now - self._led_at >= LEAD_SECONDS:
            self._led_at = now
            self._look()

    def _look_for_the_dead(self) -> None:
        now = time.monotonic()
        if now - self._adopted_at >= ADOPT_SECONDS:
            self._adopted_at = now
            self.adopt()
            for chore in list(self.chores):
                chore()

    # --- the end ---

    def close(self) -> None:
        """Send what is recorded, and record no more; what cannot be sent waits in the folder."""
        self._closed = True
        if self._journal is not None:
            self._journal.end()
        self._signal.put(None)
        until = time.monotonic() + CLOSE_SECONDS
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_SECONDS)
        if self._sending.acquire(timeout=max(0.0, until - time.monotonic())):
            try:
                self._finish()
            finally:
                self._sending.release()

    def _finish(self) -> None:
        journal, delivery = self._journal, self._delivery
        if journal is None or delivery is None:
            return
        self._writer.settle()
        end = self._writer.detach()
        self._labels.end()
        self._dropped_before += journal.dropped
        self._journal = self._delivery = None
        _settle(journal, end)
        try:
            self._leave()
            delivery.run(end)
        except Exception as problem:  # noqa: BLE001 - a process that ends says what is left
            _log.warning("recorded results wait in %s: %s", self._folder, problem)
            self._give_up()
            journal.close()
        else:
            journal.remove()

    def _give_up(self) -> None:
        """Count as dropped what nobody can send later: its file is gone."""
        for _, journal, end in self._leaving:
            self._dropped_before += end - journal.state.tail
            _log.warning("the journal %s was removed, and with it results", journal.path)

    def forget(self) -> None:
        """Let go, in the child of a fork, of what is the parent's."""
        self._writer.forget()
        self._labels.forget()
        self._marks.clear()
        self._begin_anew()


def _settle(journal: Journal, end: int) -> None:
    """Wait a moment for whoever took a place and is about to write there."""
    until = time.monotonic() + SETTLE_SECONDS
    while journal.written(journal.state.tail, end) < end and time.monotonic() < until:
        time.sleep(0.001)


# One hook of each kind serves all recorders: none can be taken back.
_recorders: Final["weakref.WeakSet[Recorder]"] = weakref.WeakSet()


def _forget_all() -> None:
    for recorder in list(_recorders):
        recorder.forget()


def _close_all() -> None:
    for recorder in list(_recorders):
        recorder.close()


os.register_at_fork(after_in_child=_forget_all)
atexit.register(_close_all)
