"""Every reason for which Android refuses an install: whose fault it is, and whether removing the app first helps.

The names are those of PackageManager.java in the Android Open Source Project, from Android 7 to 15. `app` is said only
where no device would take the build: one that is too old for it, or has no room, is another matter.
"""

import re
from typing import NamedTuple

from worker.batch import Blame


class Reason(NamedTuple):
    """`meaning`: for people, with what to do. `uninstall`: what is on the device stands in the way; remove it, once."""

    blame: Blame
    meaning: str
    uninstall: bool = False


_OTHER_VERSION = "another version of the app stands in the way"
_NEWER_VERSION = "a newer version of the app stands in the way"
_BROKEN = "the file is not a sound APK: build it again"
_MANIFEST = "its AndroidManifest.xml is wrong"
_SIGNATURE = "its signature is missing or wrong: sign it"
_BUSY = "the device broke the installation off"
_OTHER_APP = "another app on the device has what this one claims: remove that one"
_CODE = "it has no native code for this kind of processor: build it for this one, too"
_CONFUSED = "the device's package manager failed: restart it"
_WORDS_OF_ITS_OWN = "the device refused it"

REASONS: dict[str, Reason] = {
    "INSTALL_FAILED_ALREADY_EXISTS": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_INVALID_APK": Reason("app", _BROKEN),
    "INSTALL_FAILED_INVALID_URI": Reason("device", _BUSY),
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": Reason("device", "the device has no room for it: free some"),
    "INSTALL_FAILED_DUPLICATE_PACKAGE": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_NO_SHARED_USER": Reason("app", "it wants to share a user that does not exist"),
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": Reason("device", _OTHER_VERSION + ", signed by another key", uninstall=True),
    "INSTALL_FAILED_SHARED_USER_INCOMPATIBLE": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_MISSING_SHARED_LIBRARY": Reason("device", "the device lacks a library that it needs"),
    "INSTALL_FAILED_REPLACE_COULDNT_DELETE": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_DEXOPT": Reason("device", "the device could not optimise its code, perhaps for lack of room"),
    "INSTALL_FAILED_OLDER_SDK": Reason("device", "the device's Android is older than the app's minSdkVersion"),
    "INSTALL_FAILED_CONFLICTING_PROVIDER": Reason("device", _OTHER_APP),
    "INSTALL_FAILED_NEWER_SDK": Reason("device", "the device's Android is newer than the app's maxSdkVersion"),
    "INSTALL_FAILED_TEST_ONLY": Reason("device", "the device takes no builds that are for tests only"),
    "INSTALL_FAILED_CPU_ABI_INCOMPATIBLE": Reason("app", _CODE),
    "INSTALL_FAILED_MISSING_FEATURE": Reason("device", "the device lacks a feature that it requires"),
    "INSTALL_FAILED_CONTAINER_ERROR": Reason("device", _CONFUSED),
    "INSTALL_FAILED_INVALID_INSTALL_LOCATION": Reason("app", "it wants to be where no app can be: see installLocation"),
    "INSTALL_FAILED_MEDIA_UNAVAILABLE": Reason("device", "the device's storage is not available"),
    "INSTALL_FAILED_VERIFICATION_TIMEOUT": Reason("device", "Play Protect did not answer: switch it off"),
    "INSTALL_FAILED_VERIFICATION_FAILURE": Reason("device", "Play Protect refused it: switch it off"),
    "INSTALL_FAILED_PACKAGE_CHANGED": Reason("device", _BUSY),
    "INSTALL_FAILED_UID_CHANGED": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_VERSION_DOWNGRADE": Reason("device", _NEWER_VERSION, uninstall=True),
    "INSTALL_FAILED_PERMISSION_MODEL_DOWNGRADE": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_SANDBOX_VERSION_DOWNGRADE": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_MISSING_SPLIT": Reason("app", "it is a part of an app only: register a universal APK"),
    "INSTALL_FAILED_DEPRECATED_SDK_VERSION": Reason("device", "the app's targetSdkVersion is too old for this Android"),
    "INSTALL_PARSE_FAILED_NOT_APK": Reason("app", _BROKEN),
    "INSTALL_PARSE_FAILED_BAD_MANIFEST": Reason("app", _MANIFEST),
    "INSTALL_PARSE_FAILED_UNEXPECTED_EXCEPTION": Reason("app", _BROKEN),
    "INSTALL_PARSE_FAILED_NO_CERTIFICATES": Reason("app", _SIGNATURE),
    # Older Androids say so of the version that is installed, too.
    "INSTALL_PARSE_FAILED_INCONSISTENT_CERTIFICATES": Reason("app", _SIGNATURE, uninstall=True),
    "INSTALL_PARSE_FAILED_CERTIFICATE_ENCODING": Reason("app", _SIGNATURE),
    "INSTALL_PARSE_FAILED_BAD_PACKAGE_NAME": Reason("app", _MANIFEST),
    "INSTALL_PARSE_FAILED_BAD_SHARED_USER_ID": Reason("app", _MANIFEST),
    "INSTALL_PARSE_FAILED_MANIFEST_MALFORMED": Reason("app", _MANIFEST),
    "INSTALL_PARSE_FAILED_MANIFEST_EMPTY": Reason("app", _MANIFEST),
    "INSTALL_FAILED_INTERNAL_ERROR": Reason("device", _CONFUSED),
    "INSTALL_FAILED_USER_RESTRICTED": Reason("device", "its user may not install: allow 'Install via USB' on it"),
    "INSTALL_FAILED_DUPLICATE_PERMISSION": Reason("device", _OTHER_APP),
    "INSTALL_FAILED_NO_MATCHING_ABIS": Reason("app", _CODE),
    "INSTALL_FAILED_ABORTED": Reason("device", _BUSY),
    "INSTALL_FAILED_SESSION_INVALID": Reason("device", _BUSY),
    "INSTALL_FAILED_INSTANT_APP_INVALID": Reason("device", _BUSY),  # its name until Android 10
    "INSTALL_FAILED_EPHEMERAL_INVALID": Reason("device", _BUSY),  # and in Android 7
    "INSTALL_FAILED_BAD_DEX_METADATA": Reason("app", _BROKEN),
    "INSTALL_FAILED_BAD_SIGNATURE": Reason("app", _SIGNATURE),
    "INSTALL_FAILED_OTHER_STAGED_SESSION_IN_PROGRESS": Reason("device", "an update waits for a restart of the device"),
    "INSTALL_FAILED_MULTIPACKAGE_INCONSISTENCY": Reason("app", _BROKEN),
    "INSTALL_FAILED_WRONG_INSTALLED_VERSION": Reason("device", _OTHER_VERSION, uninstall=True),
    "INSTALL_FAILED_PROCESS_NOT_DEFINED": Reason("app", _MANIFEST),
    "INSTALL_PARSE_FAILED_ONLY_COREAPP_ALLOWED": Reason("device", "the device runs in a minimal mode: restart it"),
    "INSTALL_PARSE_FAILED_RESOURCES_ARSC_COMPRESSED": Reason("app", "its resources.arsc is compressed: align the APK"),
    "INSTALL_PARSE_FAILED_SKIPPED": Reason("device", "its manifest tells this device to skip it"),
    "INSTALL_FAILED_DUPLICATE_PERMISSION_GROUP": Reason("device", _OTHER_APP),
    "INSTALL_FAILED_BAD_PERMISSION_GROUP": Reason("app", _MANIFEST),
    "INSTALL_ACTIVATION_FAILED": Reason("device", _CONFUSED),
    "INSTALL_FAILED_PRE_APPROVAL_NOT_AVAILABLE": Reason("device", _BUSY),
    "INSTALL_FAILED_SHARED_LIBRARY_BAD_CERTIFICATE_DIGEST": Reason("app", _SIGNATURE),
    "INSTALL_FAILED_MULTI_ARCH_NOT_MATCH_ALL_NATIVE_ABIS": Reason("app", _CODE),
}  # fmt: skip

_NAMED = re.compile(r"\bINSTALL_(?:PARSE_|ACTIVATION_)?FAILED\w*")


def named(words: str) -> tuple[str, Reason]:
    """The reason that an install's output names; what it does not name, or nobody knows, is the device's."""
    for name in _NAMED.findall(words):
        if reason := REASONS.get(name):
            return name, reason
    return next(iter(_NAMED.findall(words)), ""), Reason("device", _WORDS_OF_ITS_OWN)
