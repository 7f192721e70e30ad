"""The programs of a fake device: `python system.py ROOT pm list …`. Words, layout and exit codes are Android 14's."""

import json
import os
import re
import shutil
import sys
import time
import zlib
from pathlib import Path

ROOT = Path(sys.argv[1])
STATE = json.loads((ROOT / "state.json").read_text())
RUNTIME_PERMISSIONS = ("android.permission.CAMERA", "android.permission.POST_NOTIFICATIONS")


def note(event):
    with (ROOT / "events").open("a") as events:
        events.write(event + "\n")


def save(**values):
    fresh = ROOT / f"state.{os.getpid()}"
    fresh.write_text(json.dumps(STATE | values))
    fresh.rename(ROOT / "state.json")


def folder(package):
    return ROOT / "app" / package


def granted(package):
    path = folder(package) / "granted"
    return path.read_text().split() if path.exists() else []


def getprop(name=None):
    for key, value in STATE["properties"].items():
        if name is None:
            print(f"[{key}]: [{value}]")
        elif name == key:
            print(value)
            return
    if name is not None and name not in STATE["properties"]:
        print()


def install(*words):
    flags = [word for word in words if word.startswith("-")]
    if "-S" in words:
        content = sys.stdin.buffer.read(int(words[words.index("-S") + 1]))
    else:
        content = (ROOT / "tmp" / Path(words[-1]).name).read_bytes()
    name = re.search(rb"package=([\w.]+)", content)
    if STATE["install_failures"]:
        first, *rest = STATE["install_failures"]
        save(install_failures=rest)
        print(f"Failure [{first}]")
        sys.exit(1)
    if not name:
        print("Failure [INSTALL_PARSE_FAILED_NOT_APK: Failed to parse /data/app/vmdl1.tmp/base.apk]")
        sys.exit(1)
    package = name[1].decode()
    folder(package).mkdir(parents=True, exist_ok=True)
    (folder(package) / "base.apk").write_bytes(b"?" + content if STATE["corrupts_installs"] else content)
    if "-g" in flags:
        (folder(package) / "granted").write_text(" ".join(RUNTIME_PERMISSIONS))
    stop(package)
    note(f"install {package} {' '.join(sorted(set(flags) - {'-S'}))}")
    print("Success")


def uninstall(package):
    if not folder(package).exists() or STATE["uninstall_fails"] or (folder(package) / "system").exists():
        print("Failure [DELETE_FAILED_INTERNAL_ERROR]")
        sys.exit(1)
    shutil.rmtree(folder(package))
    note(f"uninstall {package}")
    print("Success")


def pm(verb, *words):
    words = [word for word in words if word != "--user" and not word.isdigit()] if verb != "install" else words
    if verb == "install":
        install(*words)
    elif verb == "uninstall":
        uninstall(words[-1])
    elif verb == "path":
        if not folder(words[0]).exists():
            sys.exit(1)
        print(f"package:{folder(words[0])}/base.apk")
    elif verb == "clear":
        if not folder(words[0]).exists():
            print("Failed")
            sys.exit(1)
        stop(words[0])
        for name in ("granted", "data"):
            (folder(words[0]) / name).unlink(missing_ok=True)
        note(f"clear {words[0]}")
        print("Success")
    elif verb == "grant":
        (folder(words[0]) / "granted").write_text(" ".join([*granted(words[0]), words[1]]))
        note(f"grant {words[0]} {words[1]}")
    else:
        sys.exit(f"Unknown command: {verb}")


def cmd(service, *words):
    if service != "package":
        sys.exit(f"cmd: Can't find service: {service}")
    pm(*words)


def stop(package):
    (folder(package) / "running").unlink(missing_ok=True)


def am(verb, package):
    """An app that runs has a file `running`, and what it keeps is in `data`: both are the driver's, see
    ../appium-driver."""
    note(f"{verb} {package}")
    if verb == "force-stop":
        stop(package)
    elif not folder(package).exists():
        sys.exit(f"Error: Activity not started, unable to resolve Intent {{ pkg={package} }}")
    elif not (folder(package) / "running").exists():
        (folder(package) / "running").write_text("{}")


def dumpsys(service, package=None):
    if service == "battery":
        print("Current Battery Service state:\n  AC powered: false\n  USB powered: true")
        for name, value in STATE["battery"].items():
            print(f"  {name}: {value}")
    elif service == "package" and folder(package).exists():
        print(f"Packages:\n  Package [{package}] (3f2a1c):\n    requested permissions:")
        for permission in ("android.permission.INTERNET", *RUNTIME_PERMISSIONS):
            print(f"      {permission}")
        print("    install permissions:\n      android.permission.INTERNET: granted=true")
        print("    User 0: ceDataInode=1 installed=true hidden=false\n      gids=[3003]\n      runtime permissions:")
        for permission in RUNTIME_PERMISSIONS:
            print(f"        {permission}: granted={str(permission in granted(package)).lower()}, flags=[ USER_SET]")


def df(*_):
    print("Filesystem      1K-blocks    Used Available Use% Mounted on")
    print(f"/dev/block/dm-44  10000000 1000000 {STATE['free_kb']}  10% /data")


def settings(verb, space, name):
    print(STATE["airplane_mode"] if name == "airplane_mode_on" else "null")


def logcat(*words):
    since = float(words[words.index("-T") + 1]) if "-T" in words else 0
    path = ROOT / "log"
    for line in path.read_text().splitlines() if path.exists() else ():
        at, _, text = line.partition(" ")
        if float(at) >= since:
            print(time.strftime("%m-%d %H:%M:%S.000", time.gmtime(float(at))), text)


def screencap(*_):
    if STATE["screen_is_black"]:
        sys.exit("Error: captureScreen failed")
    chunks = (
        (b"IHDR", bytes.fromhex("00000001000000010800000000")),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    )
    image = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    )
    # Newer Androids talk into the picture, and exec-out cannot tell the two apart.
    sys.stderr.write("[Warning] Multiple displays were found, but no display id was specified!\n")
    sys.stderr.flush()
    sys.stdout.buffer.write(image)


globals()[sys.argv[2]](*sys.argv[3:])
