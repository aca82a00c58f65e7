"""System metrics: the use of CPU, memory, disk, network and GPUs while a run goes on.

system/cpu                      % of all cores
system/memory                   % of the machine's memory
system/process_memory           bytes (RSS) of this process and of those that it started
system/disk                     % of the file system of the current folder
system/disk_read, disk_write    bytes/s
system/network_sent, _received  bytes/s
system/gpu/0/use, /memory       % of GPU 0 and of its memory
system/gpu/0/temperature        °C
system/gpu/0/power              W
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from .limits import ClientLimits
from .log_filter import THREAD_PREFIX
from .notices import Notices

FIRST_AFTER = 1.0
"""Seconds until the first sample: rates need two readings."""

Store = Callable[[str, float], None]


class SystemMetrics:
    """A thread that takes samples until `stop`. A metric that this machine lacks is left out."""

    def __init__(self, store: Store, psutil: ModuleType, interval: float) -> None:
        self._store = store
        self._psutil = psutil
        self._interval = interval
        self._stopped = threading.Event()
        self._totals: dict[str, float] = {}
        self._read_at = time.monotonic()
        self._gpus = _Gpus()

    @classmethod
    def start(cls, store: Store, notices: Notices, limits: ClientLimits) -> SystemMetrics | None:
        """Begin; None, and a notice, without psutil."""
        try:
            import psutil
        except ImportError:
            notices.show("system", "system metrics need psutil: pip install 'athanor-sse[system]'")
            return None
        metrics = cls(store, psutil, limits.system_interval)
        name = f"{THREAD_PREFIX}system"
        threading.Thread(target=metrics._run, name=name, daemon=True).start()
        return metrics

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        # the first reading of a rate is no rate
        list(self._sample())
        pause = min(FIRST_AFTER, self._interval)
        while not self._stopped.wait(pause):
            for key, value in self._sample():
                self._store(f"system/{key}", value)
            pause = self._interval

    def _sample(self) -> Iterator[tuple[str, float]]:
        seconds, self._read_at = time.monotonic() - self._read_at, time.monotonic()
        for read in (self._cpu, self._memory, self._disk, self._network, self._gpus.read):
            # a container may hide a part of /proc, and a GPU may be lost
            with contextlib.suppress(Exception):
                for key, value, is_total in read():
                    if not is_total:
                        yield key, value
                        continue
                    before, self._totals[key] = self._totals.get(key), value
                    if before is not None and seconds > 0:
                        yield key, max(0.0, (value - before) / seconds)

    def _cpu(self) -> Iterator[tuple[str, float, bool]]:
        yield "cpu", self._psutil.cpu_percent(), False

    def _memory(self) -> Iterator[tuple[str, float, bool]]:
        yield "memory", self._psutil.virtual_memory().percent, False
        own = self._psutil.Process()
        used = 0
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(self._psutil.Error):
                used += process.memory_info().rss
        yield "process_memory", used, False

    def _disk(self) -> Iterator[tuple[str, float, bool]]:
        yield "disk", self._psutil.disk_usage(".").percent, False
        total = self._psutil.disk_io_counters()
        if total is not None:
            yield "disk_read", total.read_bytes, True
            yield "disk_write", total.write_bytes, True

    def _network(self) -> Iterator[tuple[str, float, bool]]:
        total = self._psutil.net_io_counters()
        yield "network_sent", total.bytes_sent, True
        yield "network_received", total.bytes_recv, True


class _Gpus:
    """NVIDIA's GPUs, if there are any and their library is installed."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        with contextlib.suppress(Exception):
            import pynvml

            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            self._nvml = pynvml

    def read(self) -> Iterator[tuple[str, float, bool]]:
        nvml = self._nvml
        for index, handle in enumerate(self._handles):
            with contextlib.suppress(Exception):
                yield f"gpu/{index}/use", nvml.nvmlDeviceGetUtilizationRates(handle).gpu, False
            with contextlib.suppress(Exception):
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                yield f"gpu/{index}/memory", 100 * memory.used / memory.total, False
            with contextlib.suppress(Exception):
                celsius = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
                yield f"gpu/{index}/temperature", celsius, False
            with contextlib.suppress(Exception):
                yield f"gpu/{index}/power", nvml.nvmlDeviceGetPowerUsage(handle) / 1000, False
