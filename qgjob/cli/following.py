"""From a submitted run to an exit code: wait, report, and leave in good order when a signal comes."""

import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from qgjob.cli import junit, output, verdict, words
from qgjob.cli.attending import Lookout
from qgjob.cli.options import OnInterrupt
from qgjob.cli.progress import progress
from qgjob.cli.waiting import Attendant, resume, until_run_ends
from qgjob.client import Client
from qgjob.errors import ClientError, Exit, Left, NotWritten, Signalled, TimedOut
from qgjob.models.runs import Run

# GitHub Actions sends SIGTERM 7.5 s after its SIGINT: finding or saving, cancelling, and telling of it must fit.
FIND_S = 1.5
CANCEL_S = 3.5
SAVE_S = 2.0
SECOND_THOUGHTS_S = 3.0


class Manner(msgspec.Struct, kw_only=True):
    """How to wait and what to leave behind. `asks`: a first Ctrl-C on a terminal leaves room for a second thought."""

    timeout_s: float
    on_interrupt: OnInterrupt
    junit_xml: Path | None
    quiet: bool
    as_json: bool
    asks: bool = True
    client_timeout_s: int | None = None


def manner(*, timeout: str, on_interrupt: OnInterrupt, junit_xml: str | None, quiet: bool, as_json: bool) -> Manner:
    """The flags, checked before anything is submitted."""
    return Manner(
        timeout_s=words.seconds(timeout, option="--timeout"),
        on_interrupt=on_interrupt,
        junit_xml=None if junit_xml is None else junit.checked(junit_xml),
        quiet=quiet,
        as_json=as_json,
    )


def follow(client: Client, run_id: int, manner: Manner) -> Exit:
    """Wait for the run, say how it went, and answer with its verdict."""
    return tell(client, wait(client, run_id, manner), manner)


def wait(client: Client, run_id: int, manner: Manner, attendant: Attendant | None = None) -> Run:
    """The ended run; or what is known of it is saved, and the reason to stop waiting is raised."""
    try:
        with progress(quiet=manner.quiet) as shown:
            return until_run_ends(
                client,
                run_id,
                timeout_s=manner.timeout_s,
                progress=shown,
                client_timeout_s=manner.client_timeout_s,
                attendant=attendant or Lookout(client),
            )
    except TimedOut:
        detach(client, run_id, manner.client_timeout_s)
        if manner.junit_xml is not None:
            junit.save_what_there_is(client, run_id, manner.junit_xml, patience_s=SAVE_S)
        raise
    except Signalled as signalled:
        client.close()  # it may have been in the middle of an answer
        left = leave(client, run_id, signalled, manner)
        if manner.junit_xml is not None:
            junit.save_what_there_is(client, run_id, manner.junit_xml, patience_s=SAVE_S)
        raise left from None


@contextmanager
def only_watched(what: str, *, run_id: int | None, again: str) -> Generator[None]:
    """A signal ends the watching, and nothing else."""
    try:
        yield
    except Signalled as signalled:
        raise Left(f"detached; {what} continues", signal=signalled, run_id=run_id, hint=again) from None


def tell(client: Client, run: Run, manner: Manner) -> Exit:
    """How it went, into the report and onto stdout; answers with the verdict."""
    result = verdict.of_run(run)
    not_saved: ClientError | None = None
    if manner.junit_xml is not None:
        try:
            junit.save(client, run.run_id, manner.junit_xml)
        except ClientError as error:
            if result is Exit.OK:
                raise
            not_saved = error
    found = verdict.outcome(client, run)
    try:
        if manner.as_json:
            output.answer_json("run", verdict.data(found))
        elif not manner.quiet:
            output.answer(verdict.summary(found))
    except NotWritten as error:
        if result is Exit.OK:
            raise
        output.say(f"error: {error.message}")
    if not_saved is not None:
        output.say(f"warning: {manner.junit_xml} was not written: {not_saved.message}")
    return result


def detach(client: Client, run_id: int, client_timeout_s: int | None) -> None:
    """Let a run go on that would be cancelled without this client."""
    if client_timeout_s is None:
        return
    try:
        client.detach_run(run_id, patience_s=SAVE_S)
    except ClientError as error:
        given_up = words.duration(client_timeout_s)
        output.say(f"warning: run {run_id} could not be detached and will be cancelled in {given_up}: {error.message}")


def found_after(client: Client, org_id: str, key: str) -> int | None:
    """The run of a submission whose answer a signal cut off, if there is one: the server may be at it just now."""
    client.close()
    until = time.monotonic() + FIND_S
    while (left := until - time.monotonic()) > 0:
        try:
            run = client.run_of_key(org_id, key, patience_s=left)
        except ClientError:
            return None
        if run is not None:
            return run.run_id
        time.sleep(0.2)
    return None


def leave(client: Client, run_id: int, signalled: Signalled, manner: Manner) -> Left:
    """On a terminal that is asked the first Ctrl-C detaches and a second one cancels; else the flag has decided."""
    cancel = manner.on_interrupt is OnInterrupt.cancel
    if manner.asks and signalled.number == signal.SIGINT and output.is_interactive():
        try:  # from the first word on, as people are quick
            output.say("Detaching in 3 s; the run continues. Ctrl-C again cancels it.")
            output.say(f"To wait on: {resume(run_id)}")
            time.sleep(SECOND_THOUGHTS_S)
            detach(client, run_id, manner.client_timeout_s)
            return Left(f"detached; run {run_id} continues", signal=signalled, run_id=run_id)
        except Signalled as again:
            cancel = again.number == signal.SIGINT
    if not cancel:
        detach(client, run_id, manner.client_timeout_s)
        return Left(f"detached; run {run_id} continues", signal=signalled, run_id=run_id, hint=resume(run_id))
    try:
        client.cancel_run(run_id, patience_s=CANCEL_S)
    except ClientError as error:
        message = f"run {run_id} could not be cancelled and may go on: {error.message}"
        return Left(message, signal=signalled, run_id=run_id, hint=f"qgjob cancel --run-id={run_id}")
    return Left(f"run {run_id} is cancelled", signal=signalled, run_id=run_id, hint=f"qgjob status --run-id={run_id}")
