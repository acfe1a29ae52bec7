"""The one door to the host's systemd: D-Bus to its manager, over a bridge that nsenter starts on the host (bridge.py).

`systemctl --host` works the same way: sd-bus starts a program and speaks D-Bus on its standard input and output. Here
the program is `nsenter … systemd-stdio-bridge`, so nothing of the bus has to be mounted into the container.

Jobs are awaited by their signal. A method such as StopUnit only enqueues; the outcome comes later as `JobRemoved`,
and may come before the method's own answer. So the subscription and the match come first, always.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import sdbus
import tenacity
from sdbus.sd_bus_internals import SdBusMessage

from entrypoint.console.errors import SystemdError
from entrypoint.console.events import log
from entrypoint.host.host import Host
from entrypoint.host.services import bridge, jobs
from entrypoint.host.services.bridge import VARIABLE
from entrypoint.host.services.units import CHANGING, RUNNING, STOPPED, Unit, UnitState

SERVICE = "org.freedesktop.systemd1"
MANAGER = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
PROPERTIES = "org.freedesktop.DBus.Properties"
CALL_TIMEOUT = 60.0  # a reload with thousands of units answers late

T = TypeVar("T")


# A stop of a unit stops these along; a start does not start them again (systemd.unit(5)).
STOPPED_ALONG = ("RequiredBy", "BoundBy", "ConsistsOf")


class Systemd:
    """The host's service manager. One connection, opened at the first call, for the life of the object."""

    def __init__(self, host: Host) -> None:
        self._address = bridge.address(host)
        self._loop = asyncio.Runner()
        self._bus: sdbus.SdBus | None = None
        self._subscribed = False

    def close(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None
        self._loop.close()

    def unit(self, name: str) -> Unit:
        """A unit's state, read now; a unit that does not exist has load_state "not-found"."""
        return self._run(lambda: self._unit(name))

    def is_busy(self, name: str) -> bool:
        """Whether a unit runs, starts or stops. One that is not loaded is not looked for: of a transient one that is
        gone systemd still knows the file's name, and would complain in the log each time that it is not there."""
        listed = self._run(lambda: self._ask("ListUnitsByPatterns", "asas", [], [name]))
        return any(state not in STOPPED for _name, _text, _load, state, *_more in listed)

    def services_at_work(self) -> tuple[str, ...]:
        """The names of the services that run, or are being started or stopped."""
        listed = self._run(lambda: self._ask("ListUnitsByPatterns", "asas", [*RUNNING, *CHANGING], ["*.service"]))
        return tuple(name for name, *_more in listed)

    def unit_of(self, pid: int) -> str | None:
        """The name of the unit that a process belongs to, none of its aliases; nothing if it belongs to none."""
        return self._run(lambda: self._unit_of(pid))

    def variables(self) -> dict[str, str]:
        """Those that it gives to every service, before the service's own."""
        pairs = (str(variable).partition("=") for variable in self._run(lambda: self._manager("Environment")))
        return {name: value for name, _equals, value in pairs}

    def stop(self, names: Iterable[str]) -> None:
        """Stop units as one operation, in the order given, and wait until each is down.

        The jobs are all enqueued before the first is awaited. With a socket first, systemd does not start its service
        for a client that calls in between ("Suppressing connection request since unit stop is scheduled"); stopped
        the other way round, any client brings the engine back (TrueNAS, middleware PR 19697).
        """
        self._run(lambda: self._jobs("StopUnit", tuple(names)))

    def start(self, names: Iterable[str]) -> None:
        """Start units, all jobs enqueued before the first is awaited, and wait until systemd calls each started."""
        self._run(lambda: self._jobs("StartUnit", tuple(names)))

    def reset_failed(self, names: Iterable[str]) -> None:
        """Forget failures and start counts: a fourth start within a minute is else refused."""
        for name in names:
            with suppress(SystemdError):  # not loaded, then there is nothing to forget
                self._run(partial(self._ask, "ResetFailedUnit", "s", name))

    def reload(self) -> None:
        """Read unit files again (`systemctl daemon-reload`)."""
        self._run(lambda: self._ask("Reload"))

    def is_stopping(self) -> bool:
        """Whether the host is going down."""
        return bool(self._run(lambda: self._manager("SystemState")) == "stopping")

    def start_transient(self, name: str, properties: dict[str, tuple[str, Any]]) -> None:
        """Create a unit that exists only in memory, start it, and wait until systemd calls it started."""
        self._run_once(lambda: self._transient(name, list(properties.items())))

    # --- the asynchronous half: the library delivers signals only there -------------------------------------------

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do it; again while systemd is away from the bus, for what may be asked twice."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(jobs.is_away),
            stop=tenacity.stop_after_delay(jobs.AWAY),
            wait=tenacity.wait_fixed(jobs.AGAIN),
            reraise=True,
        )
        done: T = retrying(self._run_once, work)
        return done

    def _run_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return self._loop.run(work())
        except KeyboardInterrupt:
            # What was interrupted must not go on behind the next call: it may still enqueue a job.
            self._loop.run(jobs.cancel_others())
            raise
        except (sdbus.SdBusBaseError, OSError) as error:
            self._bus, self._subscribed = None, False  # the next call opens a new connection: this one may be dead
            raise SystemdError("The host's systemd refused or did not answer.", details=str(error)) from error

    def _connection(self) -> sdbus.SdBus:
        if self._bus is None:
            os.environ[VARIABLE] = self._address
            self._bus = sdbus.sd_bus_open_system()
            self._bus.method_call_timeout_usec = int(CALL_TIMEOUT * 1e6)
        return self._bus

    async def _ask(self, member: str, signature: str = "", *arguments: Any, at: tuple[str, str] = MANAGER) -> Any:
        """One method call; the answer's single value, or a tuple of several."""
        path, interface = at
        message = self._connection().new_method_call_message(SERVICE, path, interface, member)
        if signature:
            message.append_data(signature, *arguments)
        return (await self._connection().call_async(message)).get_contents()

    async def _unit(self, name: str) -> Unit:
        path = await self._ask("LoadUnit", "s", name)
        base = await self._properties(path, "Unit")
        own = await self._properties(path, "Service") if name.endswith(".service") else {}
        commands = _commands(own, "ExecStart")
        return Unit(
            name=base["Id"],
            load_state=base["LoadState"],
            active_state=UnitState(base["ActiveState"]),
            result=own.get("Result", ""),
            main_pid=own.get("MainPID", 0),
            fragment=base["FragmentPath"],
            drop_ins=tuple(base["DropInPaths"]),
            needs_reload=base["NeedDaemonReload"],
            dependents=tuple(name for kind in STOPPED_ALONG for name in base.get(kind, ())),
            command=next(iter(commands), ()) if len(commands) == 1 else (),
            commands=commands,
            folder=own.get("WorkingDirectory", ""),
            before=_commands(own, "ExecStartPre"),
            environment_files=tuple(path for path, _optional in own.get("EnvironmentFiles", ())),
            triggered_by=tuple(base["TriggeredBy"]),
            starting=(base["InactiveExitTimestamp"] / 1e6, base["ActiveEnterTimestamp"] / 1e6),
            left=base["ActiveExitTimestamp"] / 1e6,
            ran=own.get("ExecMainStartTimestamp", 0) / 1e6,
            has_job=base["Job"][0] != 0,
        )

    async def _unit_of(self, pid: int) -> str | None:
        try:
            path = await self._ask("GetUnitByPID", "u", pid)
        except sdbus.SdBusBaseError:  # the process belongs to no unit, or is gone
            return None
        return str((await self._properties(path, "Unit"))["Id"])

    async def _manager(self, name: str) -> Any:
        path, interface = MANAGER
        _signature, value = await self._ask("Get", "ss", interface, name, at=(path, PROPERTIES))
        return value

    async def _properties(self, path: str, interface: str) -> dict[str, Any]:
        listed = await self._ask("GetAll", "s", f"{SERVICE}.{interface}", at=(path, PROPERTIES))
        return {name: value for name, (_signature, value) in listed.items()}

    async def _jobs(self, method: str, names: tuple[str, ...]) -> None:
        """Jobs for all of them; what somebody else's job has taken away is asked for again."""
        left = names
        for _attempt in range(jobs.TAKEN_AWAY):
            async with self._removed_jobs() as removed:
                asked = {await self._ask(method, "ss", name, "replace"): name for name in left}
                taken = await self._all_done(asked, removed, method)
            left = tuple(name for name in left if name in taken)
            if not left:
                return
            await asyncio.sleep(jobs.AGAIN)
        raise jobs.job_failed(left[0], method, jobs.CANCELED)

    async def _transient(self, name: str, properties: list[tuple[str, tuple[str, Any]]]) -> None:
        async with self._removed_jobs() as removed:
            job = await self._ask("StartTransientUnit", "ssa(sv)a(sa(sv))", name, "fail", properties, [])
            if await self._all_done({job: name}, removed, "StartTransientUnit"):
                raise jobs.job_failed(name, "StartTransientUnit", jobs.CANCELED)

    @asynccontextmanager
    async def _removed_jobs(self) -> AsyncIterator["asyncio.Queue[SdBusMessage]"]:
        """The JobRemoved signals from here on; entered before the job they tell of is enqueued."""
        removed: asyncio.Queue[SdBusMessage] = asyncio.Queue()
        path, interface = MANAGER
        slot = await self._connection().match_signal_async(SERVICE, path, interface, "JobRemoved", removed.put_nowait)
        try:
            await self._subscribe()
            yield removed
        finally:
            slot.close()

    async def _subscribe(self) -> None:
        """Ask systemd for signals, once a connection: it refuses a second time."""
        if not self._subscribed:
            await self._ask("Subscribe")
            self._subscribed = True

    async def _all_done(self, asked: dict[str, str], removed: "asyncio.Queue[SdBusMessage]", method: str) -> set[str]:
        """Wait for the jobs; the names of those that were taken away."""
        taken: set[str] = set()
        async with asyncio.timeout(jobs.JOB_TIMEOUT):
            while asked:
                try:
                    _number, job, _unit, result = (await asyncio.wait_for(removed.get(), jobs.MISSED)).parse_to_tuple()
                except TimeoutError:
                    taken |= await self._missed(asked, method) if removed.empty() else set()
                    continue
                if (name := asked.pop(job, None)) is None:
                    continue
                log.debug("job.removed", unit=name, method=method, result=result)
                if result == jobs.CANCELED:
                    taken.add(name)
                elif result not in jobs.GOOD_RESULTS:
                    raise jobs.job_failed(name, method, result)
        return taken

    async def _missed(self, asked: dict[str, str], method: str) -> set[str]:
        """Jobs that are gone without a word, taken out of `asked`; the names of those that were taken away."""
        wanted, taken = STOPPED if method == "StopUnit" else RUNNING, set()
        for job, name in list(asked.items()):
            base = await self._properties(await self._ask("LoadUnit", "s", name), "Unit")
            if base["Job"][1] == job:
                continue
            del asked[job]
            if UnitState(base["ActiveState"]) not in wanted:
                taken.add(name)
        return taken


def _commands(properties: dict[str, Any], key: str) -> tuple[tuple[str, ...], ...]:
    """The words of each command of a service; the first is its program."""
    return tuple((path, *words[1:]) for path, words, *_rest in properties.get(key, ()))
