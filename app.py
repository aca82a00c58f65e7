"""The service: `python app.py`, or `uvicorn app:app`. Settings are `ATHANOR_…` variables."""

import sys

from athanor import ConfigurationError, create_app, serve

try:
    app = create_app()
except ConfigurationError as error:
    sys.exit(f"athanor: {error}")

if __name__ == "__main__":
    serve(app)
