"""Where batch work runs: this process, processes of this machine, or a Ray cluster."""

from herdbook.core.engines import Engine
from herdbook.engines.local import LocalEngine
from herdbook.errors import Invalid


def opened(engine: str, *, workers: int = 0) -> Engine:
    """Open an engine by its name or address.

    Args:
        engine: `local`; `ray` starts a small Ray in this machine; `ray://host:10001` is the
            address of a Ray client; `ray:host:6379` or `ray:auto` a cluster's.
        workers: how many. 0 works in this process, or on Ray with as many as it has CPUs.

    Raises:
        Invalid: there is no such engine.
        MissingExtra: Ray is not installed.
        Unreachable: no Ray answers there.
    """
    if engine == "local":
        return LocalEngine(workers)
    if engine == "ray" or (engine.startswith("ray:") and engine.removeprefix("ray:").strip("/")):
        from herdbook.engines.ray import RayEngine  # it waits for ray

        return RayEngine(engine, workers)
    raise Invalid(
        f"{engine!r:.200} is no engine: write local, ray, ray://host:10001 or ray:host:6379",
        field="engine",
    )
