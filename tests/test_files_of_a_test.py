"""What a spec attaches is kept with its job: only what the run itself has written, each file under a name of
its own."""

import asyncio
from pathlib import Path

from batches import batch, no_devices, printed
from node import project

from worker.executors import Event, Finished, Options, load


def run(at: Path, *names: str) -> tuple[list[Event], dict[int, dict[str, tuple[str, bytes]]]]:
    """The events, and of each job's files the type and the content when it had finished."""
    executor = load("playwright", Options(at, no_devices()))
    of = batch(*(f"tests/{name}.spec.js" for name in names))

    async def read_on_finish() -> tuple[list[Event], dict[int, dict[str, tuple[str, bytes]]]]:
        events: list[Event] = []
        files: dict[int, dict[str, tuple[str, bytes]]] = {}
        prepared = await executor.prepare(of)
        async with asyncio.timeout(60):
            async for event in executor.run(prepared, of.jobs, asyncio.Event()):
                events.append(event)
                if isinstance(event, Finished):
                    files[event.job_id] = {
                        file.name: (file.content_type, file.path.read_bytes()) for file in event.files
                    }
        await executor.cleanup(prepared, failed=False)
        return events, files

    return asyncio.run(read_on_finish())


def test_files_and_bodies_of_any_test_of_a_spec_are_kept(tmp_path: Path) -> None:
    at = project(
        tmp_path,
        a="""
        const fs = require('node:fs');
        test('one', async ({}, info) => {
          await info.attach('screen', { body: Buffer.from('a picture'), contentType: 'image/png' });
          fs.writeFileSync(info.outputPath('app.log'), 'a line');
          await info.attach('device log', { path: info.outputPath('app.log') });
        });
        test('two', async ({}, info) => {
          await info.attach('screen', { body: Buffer.from('another'), contentType: 'image/png' });
          throw new Error('failed');
        });""",
        b="test('none', () => {});",
    )
    _, files = run(at, "a", "b")
    assert files[1] == {
        "screen.png": ("image/png", b"a picture"),
        "device log.log": ("text/plain", b"a line"),
        "screen-2.png": ("image/png", b"another"),
        **{name: kept for name, kept in files[1].items() if name.startswith("error-context")},
    }
    assert files[2] == {}


def test_what_lies_elsewhere_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    at = project(
        tmp_path,
        a=f"""
        const fs = require('node:fs');
        test('steals', async ({{}}, info) => {{
          info.attachments.push({{ name: 'key', contentType: 'text/plain', path: '{tmp_path / "secret"}' }});
          fs.symlinkSync('{tmp_path / "secret"}', info.outputPath('link'));
          info.attachments.push({{ name: '../link', contentType: 'text/plain', path: info.outputPath('link') }});
          info.attachments.push({{ name: 'gone', contentType: 'text/plain', path: info.outputPath('nothing') }});
        }});
        for (const number of [1, 2, 3]) test('many ' + number, async ({{}}, info) => {{
          for (let i = 0; i < 9; i++) await info.attach('note', {{ body: 'x' }});
        }});""",
    )
    events, files = run(at, "a")
    # How many of them are stored is for the worker to say: see test_artifacts.py.
    assert sorted(files[1]) == sorted(["note.txt", *(f"note-{number}.txt" for number in range(2, 28))])
    said = printed(events)
    assert "left out: key: not a file of this test run" in said
    assert "left out: .._link: not a file of this test run" in said
    assert "s3cret" not in str(files)
