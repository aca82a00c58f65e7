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
    service = subprocess.Popen([sys.executable, str(HERE.parent / "app.py")])
    try:
        while not answers(url):
            if service.poll() is not None:
                return service.returncode
            time.sleep(0.1)
        print(
            f"\nin a browser:  {url}/\nin a terminal: curl -N {url}/events/experiments:runs\n", flush=True
        )
        subprocess.run(
            [sys.executable, str(HERE / "digits.py"), *sys.argv[1:]],
            env={**os.environ, "ATHANOR_URL": url},
            check=False,
        )
        print(f"the run has ended; its lines stay at {url}/ until Ctrl-C ends the service", flush=True)
        return service.wait()
    except KeyboardInterrupt:
        service.send_signal(signal.SIGINT)
        return service.wait()


if __name__ == "__main__":
    sys.exit(main())
