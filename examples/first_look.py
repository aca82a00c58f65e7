"""The service with a run streaming in it: starts `app.py`, and `digits.py` against it.

The service stays until Ctrl-C. Settings are those of the service, `ATHANOR_PORT` for example.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

HERE = Path(__file__).resolve().parent


def answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz", timeout=1):
            return True
    except (URLError, OSError):
        return False


def main() -> int:
    host, port = os.environ.get("ATHANOR_HOST", "127.0.0.1"), os.environ.get("ATHANOR_PORT", "8000")
    url = f"http://{host}:{port}"
    if answers(url):
        print(f"something answers at {url} already; set ATHANOR_PORT to another port", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    service = start_deaf_to_ctrl_c(str(HERE.parent / "app.py"))
    experiment = None
    try:
        while not answers(url):
            if service.poll() is not None:
                return service.returncode
            time.sleep(0.1)
        print(
            f"\nin a browser:  {url}/\nin a terminal: curl -N {url}/events/experiments:runs\n", flush=True
        )
        command = [sys.executable, str(HERE / "digits.py"), *sys.argv[1:]]
        experiment = subprocess.Popen(command, env={**os.environ, "ATHANOR_URL": url})
        experiment.wait()
        print(f"the run has ended; its lines stay at {url}/ until Ctrl-C ends the service", flush=True)
        service.wait()
    except KeyboardInterrupt:
        try:
            if experiment is not None:
                experiment.wait(10)
        finally:
            service.terminate()
    return service.wait()


def start_deaf_to_ctrl_c(script: str) -> subprocess.Popen[bytes]:
    """Ctrl-C reaches all of a terminal's processes; the service is to hear the experiment's last word."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen([sys.executable, script])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


if __name__ == "__main__":
    sys.exit(main())
