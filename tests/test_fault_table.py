"""Every way in which a run of specs can go, and the tests that show what becomes of the jobs. A row that loses its
tests is noticed here."""

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# What happened, and what follows → the tests; those of test_appwright_*.py need `make test-appwright`.
TABLE = {
    "every test of a spec passed, or was skipped: passed": [
        "test_appwright_attaches.py::test_eight_specs_of_which_two_fail_take_one_installation_and_one_session_on_an_emulator",
        "test_appwright_attaches.py::test_eight_specs_of_which_two_fail_take_one_upload_and_one_session_in_the_cloud",
        "test_executor_playwright.py::test_pass_fail_skip_timeout_and_a_killed_test_process",
    ],
    "a test failed: failed, with its first error": [
        "test_appwright_attaches.py::test_eight_specs_of_which_two_fail_take_one_installation_and_one_session_on_an_emulator",
        "test_appwright_faults.py::test_a_test_that_crashes_hangs_or_throws_has_failed_and_says_why",
    ],
    "a test ran over its own time: timeout": [
        "test_appwright_faults.py::test_a_test_that_crashes_hangs_or_throws_has_failed_and_says_why",
        "test_executor_playwright.py::test_pass_fail_skip_timeout_and_a_killed_test_process",
    ],
    "the job's time is over: its runner is stopped, timeout; the others run on": [
        "test_appwright_faults.py::test_a_hang_ends_with_the_job_s_time_and_the_next_has_the_same_session",
        "test_lost_workers.py::test_a_job_over_its_time_limit_is_stopped",
    ],
    "a spec does not load, has no tests, or is not there: failed for good, whatever --retries says; the others run": [
        "test_appwright_faults.py::test_specs_that_do_not_load_or_are_not_there_fail_and_the_others_run",
        "test_executor_playwright.py::test_a_spec_that_does_not_load_fails_and_the_others_run",
        "test_executor_playwright.py::test_specs_without_a_matching_test_fail_and_say_so",
        "test_results.py::test_a_spec_that_is_not_there_is_not_tried_again",
    ],
    "a spec kills the process it runs in: failed; the others run": [
        "test_appwright_faults.py::test_a_test_that_crashes_hangs_or_throws_has_failed_and_says_why",
    ],
    "the runner is killed in the middle of a spec: a loss, taken up again; the others run": [
        "test_appwright_faults.py::test_a_runner_that_is_killed_loses_one_spec_and_the_session_lives_on",
        "test_executor_playwright.py::test_a_runner_that_is_killed_loses_the_running_spec_and_only_that",
    ],
    "the runner dies without running anything: started again, three times, then a loss": [
        "test_appwright_faults.py::test_a_runner_that_dies_before_its_specs_again_and_again_is_given_up",
        "test_executor_playwright.py::test_a_runner_that_runs_nothing_is_given_up",
    ],
    "the run is cancelled in the middle: cancelled, results stay, the device is free": [
        "test_appwright_faults.py::test_a_run_that_is_cancelled_in_the_middle_keeps_its_results_and_frees_the_device",
        "test_browserstack_workers.py::test_a_cancelled_run_ends_its_session",
        "test_cancel.py::test_a_running_job_is_stopped_by_its_worker",
    ],
    "a waiting job is cancelled: cancelled, and not run": [
        "test_appwright_faults.py::test_a_waiting_job_that_is_cancelled_is_left_out",
        "test_cancel.py::test_a_queued_job_is_cancelled_at_once_and_skipped",
    ],
    "the worker drains: the running spec is finished, the rest goes back without a loss": [
        "test_appwright_faults.py::test_a_worker_that_drains_finishes_its_spec_gives_back_the_rest_and_ends_its_session",
        "test_lost_workers.py::test_a_second_signal_gives_back_the_running_test_too",
    ],
    "the session is lost: a loss for the running spec, the rest goes back; another is opened": [
        "test_appwright_faults.py::test_a_session_that_is_lost_fails_no_test_and_another_is_opened",
        "test_browserstack_workers.py::test_a_session_lost_in_a_test_is_infrastructure_and_the_rest_runs_elsewhere",
    ],
    "the device is lost: a loss for the running spec, the rest goes elsewhere": [
        "test_appwright_faults.py::test_a_device_that_is_unplugged_fails_no_test_and_another_takes_over",
        "test_adb_workers.py::test_what_a_device_that_is_unplugged_was_doing_goes_elsewhere",
        "test_adb_workers.py::test_a_device_that_hangs_fails_no_test",
    ],
    "the app cannot be reset: a loss for the running spec, and the build is installed again": [
        "test_appwright_faults.py::test_an_app_that_is_gone_is_installed_again_and_fails_no_test",
    ],
    "the provider has no room, or is down: the jobs wait and lose nothing": [
        "test_appwright_attaches.py::test_specs_wait_unharmed_while_the_cloud_has_no_room",
        "test_browserstack_workers.py::test_jobs_wait_unharmed_while_the_cloud_is_busy_or_down",
        "test_browserstack_sessions.py::test_what_a_refused_session_means",
    ],
    "the device opens no session: a loss for the batch, taken up again": [
        "test_appwright_faults.py::test_a_device_that_opens_no_session_costs_a_loss_and_no_verdict",
    ],
    "the build's file cannot be had: a loss for the batch that says nothing of its device, taken up again": [
        "test_fetched_builds.py::test_what_is_not_there_is_told_in_words",
        "test_fetched_builds.py::test_where_nobody_answers_it_is_asked_again_before_that_is_a_loss",
        "test_quarantine.py::test_a_build_whose_file_cannot_be_had_says_nothing_of_the_device",
        "test_results.py::test_a_batch_that_cannot_be_prepared_is_a_loss_for_all_its_jobs",
    ],
    "no device takes the build: its jobs fail, without a session": [
        "test_appwright_faults.py::test_a_build_that_cannot_be_installed_fails_its_jobs_without_a_session",
        "test_adb_install_failures.py::test_every_reason_through_adb",
        "test_browserstack_uploads.py::test_a_build_that_cannot_be_uploaded_says_why_and_gives_up_its_claim",
        "test_refused_builds.py::test_every_pending_job_of_the_group_fails_by_the_first_refusal",
    ],
    "the worker is killed: what had finished stays, the running spec is a loss, the rest is taken up": [
        "test_appwright_faults.py::test_what_a_killed_worker_leaves_is_taken_up_by_the_next",
        "test_lost_workers.py::test_what_a_killed_worker_left_finishes_elsewhere",
        "test_browserstack_workers.py::test_the_session_of_a_killed_worker_ends_by_itself",
    ],
}


@pytest.mark.parametrize("row", TABLE)
def test_each_fault_has_its_tests(row: str) -> None:
    for named in TABLE[row]:
        file, _, name = named.partition("::")
        tests = {
            node.name for node in ast.walk(ast.parse((HERE / file).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in tests, named
