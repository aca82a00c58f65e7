"""The endpoints of streams: one topic, or several topics at once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..exceptions import AthanorError
from ..live import formats
from ..live.frames import Format
from ..live.refusals import STREAMS
from ..protocol.events import TYPES
from .busy import busy
from .event_stream import EventStream
from .open_streams import OpenStreams, client_of
from .permission import permission_of
from .problems import on_error, response_to
from .requests import accepted_type, engine_of, is_set, number
from .responses import NDJSON, SSE, TEXT
from .visible import visible

MAX_TAIL = 10_000
FORMATS: dict[str, Format] = {SSE: formats.sse, NDJSON: formats.ndjson, TEXT: formats.text}


class StreamEndpoint:
    """An ASGI application, because a function's wrapper would live as long as its stream."""

    def __init__(self, open_streams: OpenStreams) -> None:
        self._open_streams = open_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        client = client_of(scope)
        refusal = self._open_streams.enter(client)
        if refusal is not None:
            request.app.engine.refusals.count(STREAMS)
            await busy(request, refusal)(scope, receive, send)
            return
        try:
            try:
                response = await self._respond(request)
            except AthanorError as error:
                response = response_to(request, error)
            except Exception as error:
                await (await on_error(request, error))(scope, receive, send)
                raise
            # its parsed headers and query would stay as long as the stream
            del request
            await response(scope, receive, send)
        finally:
            self._open_streams.leave(client)

    async def _respond(self, request: Request) -> Response:
        engine = engine_of(request)
        query = request.query_params
        media_type = accepted_type(request, tuple(FORMATS))
        types = [name for name in query.get("types", "").split(",") if name] or None
        if types is None and media_type == TEXT:
            # people read this as a log, and progress comes ten times a second
            types = [name for name in TYPES if name != "run_progress"]
        topic = request.path_params.get("topic")
        cursor = request.headers.get("last-event-id") or query.get("last_event_id") or None
        wanted = engine.subscribe(
            *(query.getlist("topic") if topic is None else [topic]),
            after=cursor,
            tail=number(request, "tail", 0, 0, MAX_TAIL) or 0,
            types=types,
        )
        permission = permission_of(request)
        for each in wanted.selection.topics:
            await permission.require_open(str(each))
        subscription = visible(wanted, permission)
        await subscription.open()
        if subscription.nothing_left:
            subscription.close()
            return Response(status_code=204)
        format = FORMATS[media_type]
        if media_type == SSE and is_set(request, "unnamed"):
            format = formats.sse_unnamed
        return EventStream(
            engine,
            subscription,
            media_type,
            format,
            self._open_streams.streams,
            permission.lifetime,
        )
