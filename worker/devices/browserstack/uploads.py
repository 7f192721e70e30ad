"""Every build goes to the cloud once, whoever needs it: once in this process by a lock, once among all workers by a
claim in PostgreSQL."""

import asyncio
from collections import defaultdict

from worker import builds
from worker.batch import Artifact, PrepareError
from worker.devices import Ledger
from worker.devices.browserstack.api import Api, ApiError

PROVIDER = "browserstack"
# How often to look whether another worker has finished an upload, which takes seconds to minutes.
LOOK_S = 1.0


class Uploads:
    def __init__(self, api: Api, ledger: Ledger, account: str) -> None:
        self._api = api
        self._ledger = ledger
        self._account = account
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._lost: set[str] = set()

    async def url_of(self, artifact: Artifact) -> str:
        """The bs:// URL of the build, uploaded now if nobody has. Raises PrepareError."""
        if artifact.url.startswith("bs://"):
            return artifact.url
        async with self._locks[artifact.sha256]:
            while True:
                known = await self._ledger.find_upload(PROVIDER, self._account, artifact.sha256)
                if known.url:
                    return known.url
                if known.yours:
                    return await self._upload(artifact)
                await asyncio.sleep(LOOK_S)

    async def forget(self, artifact: Artifact, url: str) -> None:
        """The cloud no longer knows this URL. Raises PrepareError where nobody can upload the build again."""
        if artifact.url.startswith("bs://"):
            raise PrepareError(
                f"BrowserStack does not know {url}; uploads end after 30 days. Upload the build again.", "app"
            )
        self._lost.add(url)
        await self._ledger.forget_upload(PROVIDER, self._account, artifact.sha256, url)

    async def _upload(self, artifact: Artifact) -> str:
        custom_id = f"qgjob-{artifact.sha256}"
        url = None
        try:
            # It may be there though this database does not know: another one shares the account, or this one is new.
            url = await self._api.find_app(custom_id)
            if url is None or url in self._lost:
                url = await self._send(artifact, custom_id)
            await self._ledger.record_upload(PROVIDER, self._account, artifact.sha256, url)
            return url
        finally:
            if url is None:
                await self._ledger.forget_upload(PROVIDER, self._account, artifact.sha256)

    async def _send(self, artifact: Artifact, custom_id: str) -> str:
        path = await builds.fetch(artifact)
        try:
            return await self._api.upload(path, custom_id)
        except OSError as error:
            raise PrepareError(f"The build cannot be read: {error.strerror}: {path}") from None
        except ApiError as error:
            if error.blame == "config" and error.status not in (401, 403):
                raise PrepareError(f"BrowserStack does not take this build: {error}", "app") from None
            raise
