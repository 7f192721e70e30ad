"""python -m worker.replay PLAN REPORT: what `qgjob replay` starts. Needs QGJOB_DATABASE_URL, a database to copy.

Progress goes to stderr and the report into the file, or, where there is none, the reason.
"""

import os
import sys
from pathlib import Path

import msgspec

from qgjob.errors import Exit
from qgjob.replay import Plan
from sql.virtual_time import copied
from worker.replay import batch_instances, comparison, savings
from worker.replay.simulator import Wrong
from worker.replay.workload import BadWorkload, check


def main(plan: Plan, report: Path) -> int:
    try:
        report.write_bytes(made(plan, os.environ["QGJOB_DATABASE_URL"]))
    except BadWorkload as error:
        report.write_text(str(error))
        return Exit.USAGE
    except Wrong as error:
        report.write_text(f"the scheduler broke a promise: {error}")
        return Exit.BUG
    return Exit.OK


def made(plan: Plan, url: str) -> bytes:
    match plan.report:
        case "workload":
            if plan.workload is not None:
                with copied(url) as time:
                    check(Path(plan.workload), time)
            comparison_found = comparison.compare(plan, url, say)
            return msgspec.json.encode(comparison_found) if plan.as_json else comparison.text(comparison_found).encode()
        case "batch-instances":
            judged = batch_instances.judge(plan, url, say)
            return msgspec.json.encode(judged) if plan.as_json else batch_instances.text(judged).encode()
        case "savings":
            saved = savings.measure(plan, url, say)
            return msgspec.json.encode(saved) if plan.as_json else savings.markdown(saved).encode()


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=Plan), Path(sys.argv[2])))
