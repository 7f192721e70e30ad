"""How large a file may be that is sent to the API."""

from msgspec import Struct

from api.problems import TooLarge


class UploadLimit(Struct, frozen=True):
    """QGJOB_BUILD_MAX_MB, and QGJOB_ATTEMPT_MB for a file of an attempt."""

    megabytes: int
    attempt_megabytes: int = 50

    def check(self, size: int) -> None:
        if size > self.megabytes * 1_000_000:
            raise TooLarge(
                "build_is_small_enough",
                f"A build is at most {self.megabytes} MB here (QGJOB_BUILD_MAX_MB of the API).",
            )

    def check_file(self, size: int) -> None:
        if size > self.attempt_megabytes * 1_000_000:
            raise TooLarge(
                "file_is_small_enough",
                f"The file of an attempt is at most {self.attempt_megabytes} MB here (QGJOB_ATTEMPT_MB of the API).",
            )
