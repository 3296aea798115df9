"""The routes of WebSockets."""

from __future__ import annotations

from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from apps.activity.origins import OwnOrigins
from apps.activity.sockets import EventSocket

routes = URLRouter([path("ws/events/", EventSocket.as_asgi()), re_path("", WebsocketDenier.as_asgi())])
application = OwnOrigins(routes)
