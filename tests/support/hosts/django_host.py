"""A Django project in one file with Athanor around it; Django's ASGI handler knows no lifespan."""

from __future__ import annotations

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

import athanor

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="test", USE_TZ=True)


def own(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"host": "django"})


urlpatterns = [path("own", own)]
app = athanor.wrap(get_asgi_application(), "/athanor", authorize=None)
