"""The web application: which address is answered by what."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from samseg.errors import ImageError, SamsegError, one_line
from samseg.review import class_pages, lake_pages
from samseg.review.actions import ACTIONS, answer
from samseg.review.guard import Guard, Secrets, refused
from samseg.review.mask_pictures import placeholder
from samseg.review.session import Review
from samseg.review.site import Site

_DRAWN_AT_A_TIME = 4
_STATIC = {
    "report.css": ("samseg.views", ".", "text/css"),
    "review.css": ("samseg.review", "static", "text/css"),
    "icon.svg": ("samseg.review", "static", "image/svg+xml"),
    "review.js": ("samseg.review", "static", "text/javascript"),
}
_KEPT = {"cache-control": "private, max-age=86400"}

Page = Callable[[Site, Request], Response]
Answer = Callable[[Request], Awaitable[Response]]


def application(review: Review, known: Secrets, host: str, port: int) -> ASGIApp:
    """Return the application of one session.

    Args:
        review: the session.
        known: what a browser must know.
        host: that the server listens on.
        port: its port.
    """
    site = Site(review, known)
    pictures = ThreadPoolExecutor(_DRAWN_AT_A_TIME, thread_name_prefix="pictures")

    def page(made: Page) -> Answer:
        async def get(request: Request) -> Response:
            return await run_in_threadpool(made, site, request)

        return get

    def action(verb: str) -> Answer:
        async def post(request: Request) -> Response:
            return await answer(site, request, ACTIONS[verb])

        return post

    def picture(draw: Callable[[Review, Request], bytes | None]) -> Answer:
        async def get(request: Request) -> Response:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pictures, partial(_picture, review, request, draw))

        return get

    pages: dict[str, Page] = {
        "/": class_pages.classes,
        "/classes/{which:str}": class_pages.one_class,
        "/masks/{mask_id:str}": class_pages.mask,
        "/queue": lake_pages.review_queue,
        "/map": lake_pages.sample_map,
        "/night": lake_pages.night,
        "/history": lake_pages.history,
    }
    drawn = {
        "/crops/{class_id:int}/{mask_id:str}": _crop,
        "/crops/none/{mask_id:str}": _crop,
        "/photos/{image_id:str}": _photo,
        "/layers/{edit:int}/{mask_id:str}": _layer,
    }
    routes = [Route(path, page(made)) for path, made in pages.items()]
    routes += [Route(path, picture(draw)) for path, draw in drawn.items()]
    routes += [Route(f"/{verb}", action(verb), methods=["POST"]) for verb in ACTIONS]
    routes.append(Route("/static/{file:str}", _static))
    errors = {404: _not_found, 405: _not_found, SamsegError: _failed}
    return Guard(Starlette(routes=routes, exception_handlers=errors), known, host, port)


def _picture(
    review: Review, request: Request, draw: Callable[[Review, Request], bytes | None]
) -> Response:
    try:
        payload = draw(review, request)
    except ImageError as e:
        return Response(placeholder(one_line(e)), media_type="image/svg+xml")
    except SamsegError as e:
        return Response(placeholder(one_line(e)), 503, media_type="image/svg+xml")
    if payload is None:
        return Response(placeholder("there is no such mask"), 404, media_type="image/svg+xml")
    return Response(payload, media_type="image/webp", headers=_KEPT)


def _crop(review: Review, request: Request) -> bytes | None:
    row = review.now.catalogue.find(request.path_params["mask_id"])
    class_id = min(request.path_params.get("class_id", -1), 2**31 - 1)
    return None if row is None else review.pictures.crop(row, class_id)


def _photo(review: Review, request: Request) -> bytes | None:
    image_id = request.path_params["image_id"]
    return review.pictures.photo(image_id) if review.now.catalogue.image_rows(image_id) else None


def _layer(review: Review, request: Request) -> bytes | None:
    now, mask_id = review.now, request.path_params["mask_id"]
    row = now.catalogue.find(mask_id)
    if row is None:
        return None
    rows = now.catalogue.image_rows(mask_id.rpartition("-")[0])
    return review.pictures.layer(row, {r: int(now.class_ids[r]) for r in rows})


async def _static(request: Request) -> Response:
    known = _STATIC.get(request.path_params["file"])
    if known is None:
        return refused(404, "There is no such file", "")
    package, folder, kind = known
    payload = files(package).joinpath(folder, request.path_params["file"]).read_bytes()
    return Response(payload, media_type=kind, headers={"cache-control": "no-cache"})


async def _not_found(request: Request, error: Exception) -> Response:
    return refused(404, "There is no such page", "The classes are at the start page.")


async def _failed(request: Request, error: Exception) -> Response:
    return refused(500, "The folder cannot be read", _escaped(one_line(error)))


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
