"""The page at /schema. Its scripts come from this process: a device lab may have no way out, and no other host should
run code beside the API."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.router import Router
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

PATH: Final = "/schema"
SCRIPTS: Final = f"{PATH}/scripts"

page = SwaggerRenderPlugin(
    js_url=f"{SCRIPTS}/swagger-ui-bundle.js",
    css_url=f"{SCRIPTS}/swagger-ui.css",
    standalone_preset_js_url=f"{SCRIPTS}/swagger-ui-standalone-preset.js",
    favicon="",
)


def scripts() -> Router:
    # Not imported: the package brings handlers for other frameworks.
    folder = Path(str(distribution("swagger-ui-py").locate_file("swagger_ui/static")))
    return create_static_files_router(SCRIPTS, directories=[folder], include_in_schema=False)
