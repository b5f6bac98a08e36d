"""Several feature services from one process, each with a client of its own; run it by `uvicorn app:app` in this folder.

Their vectors are read over one kind of connection, and each client checks the pin of its model when it starts.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException

from feature_sync import AsyncFeatureClient, OnlineStoreError, RequestError

URL = os.environ["FEATURE_SYNC_REDIS_URL"]
PREFIX = os.environ.get("FEATURE_SYNC_KEY_PREFIX", "feature_sync")
SERVICES = os.environ.get("SERVICES", "departure_delay_model,crew_standby_model").split(",")
clients: dict[str, AsyncFeatureClient] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open a client for each service, and close them at the end."""
    del app
    async with AsyncExitStack() as opened:
        for name in SERVICES:
            clients[name] = await opened.enter_async_context(AsyncFeatureClient(URL, name, prefix=PREFIX))
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/{service}")
async def vectors(service: str, entities: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each feature, for the entities in their order."""
    if service not in clients:
        raise HTTPException(404, f"this process serves {', '.join(clients)}")
    try:
        found = await clients[service].get_many(entities)
    except RequestError as wrong:
        raise HTTPException(422, str(wrong)) from wrong
    except OnlineStoreError as away:
        raise HTTPException(503, str(away)) from away
    return found.to_dict()
