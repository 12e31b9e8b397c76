import argparse
import json
import subprocess
import sys

import pytest

from models.errors import StreamError
from tools import doctor, doctor_lsl, doctor_machine, doctor_packages
from tools.findings import Finding, run_check


def statuses(findings):
    return [finding.status for finding in findings]


def test_a_check_that_raises_is_a_problem():
    def broken():
        raise StreamError("no network", todo="plug it in")

    assert run_check(broken) == [
        Finding("broken", "problem", "StreamError: no network", "plug it in")
    ]


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_exit_code_and_json(monkeypatch, capsys, status, code):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("a", status, "b", "c")])
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", "--json"])
    assert args.run(args) == code
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == code
    assert told["findings"] == [{"check": "a", "status": status, "found": "b", "todo": "c"}]


def test_text_names_each_finding_and_what_to_do():
    text = doctor.as_text([Finding("sound", "problem", "none", "connect one")])
    assert "problem  sound  none" in text and "-> connect one" in text
    assert text.endswith("1 problem found.")


@pytest.mark.lsl
def test_every_check_answers_here():
    findings = doctor.examine()
    raised = [f for f in findings if f.status == "problem" and "Error: " in f.found]
    assert raised == []
    assert all(f.todo for f in findings if f.status == "problem")
    assert len(findings) >= len(doctor.CHECKS)


def test_doctor_starts_without_the_packages_it_examines():
    blocked = [
        "numpy",
        "pylsl",
        "onnxruntime",
        "sounddevice",
        "pydantic",
    ]
    code = (
        f"import sys; [sys.modules.__setitem__(n, None) for n in {blocked}];"
        "from tools import doctor; doctor.CHECKS = doctor.CHECKS[4:6];"
        "print(doctor.as_text(doctor.examine(doctor.CHECKS)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=doctor_packages.ROOT
    )
    assert "2 problems found." in done.stdout, done.stderr


# --- packages -----------------------------------------------------------------------------------


def test_missing_extra_is_a_note_and_missing_runtime_a_problem():
    extra = doctor_packages._group("report", ["surely-not-installed>=1"])
    assert extra.status == "note" and "seegvox[report]" in extra.todo
    runtime = doctor_packages._group("", ["numpy>=1.26", "surely-not-installed"])
    assert runtime.status == "problem" and "surely-not-installed MISSING" in runtime.found


def test_an_old_version_is_seen():
    assert doctor_packages._installed("numpy>=999.1")[1] is False
    assert doctor_packages._installed("numpy>=1.26,<999")[1] is True
    assert doctor_packages._numbers("1.18.0b6") < doctor_packages._numbers("1.18.6")


def test_another_package_of_our_name_on_the_path(tmp_path, monkeypatch):
    assert statuses(doctor_packages.shadowed_packages()) == ["ok"]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "tools.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = doctor_packages.shadowed_packages()
    assert finding.status == "problem" and "models, tools" in finding.found


def test_a_room_that_comes_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor_packages, "ROOT", tmp_path)
    rooms = list(doctor_packages._foreign_rooms())
    assert statuses(rooms) == ["problem"] * 4


def test_another_distribution_of_our_name(monkeypatch):
    owners = {"realtime": ["realtime", "seegvox"], "tools": ["seegvox"]}
    monkeypatch.setattr(doctor_packages.metadata, "packages_distributions", lambda: owners)
    (finding,) = doctor_packages._other_distributions()
    assert finding.status == "problem" and "pip uninstall realtime" in finding.todo


@pytest.mark.parametrize(("searched", "status"), [(True, "problem"), (False, "note")])
def test_a_file_named_like_a_dependency(tmp_path, monkeypatch, searched, status):
    monkeypatch.chdir(tmp_path)
    assert statuses(doctor_packages.files_like_dependencies()) == ["ok"]
    (tmp_path / "numpy.py").touch()
    path = [entry for entry in sys.path if entry] + ([""] if searched else [])
    monkeypatch.setattr(sys, "path", path)
    (finding,) = doctor_packages.files_like_dependencies()
    assert finding.status == status and "numpy" in finding.found


# --- LSL ----------------------------------------------------------------------------------------


def test_configuration_is_looked_for_in_liblsl_s_order(tmp_path):
    here, home, system = (tmp_path / name for name in ("here", "home", "etc"))
    places = [here / "lsl_api.cfg", home / "lsl_api/lsl_api.cfg", system / "lsl_api/lsl_api.cfg"]
    named = tmp_path / "named.cfg"
    for path in [*places, named]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    environ = {"LSLAPICFG": str(named)}
    assert doctor_lsl.config_in_force(environ, here, home, system) == (named, places)
    for found in places:
        assert doctor_lsl.config_in_force({}, here, home, system)[0] == found
        found.unlink()
    assert doctor_lsl.config_in_force({}, here, home, system) == (None, [])


def test_a_stray_configuration_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stray = tmp_path / "lsl_api.cfg"
    stray.touch()
    assert statuses(doctor_lsl.lsl_configuration()) == ["note"]  # the tests' LSLAPICFG wins
    monkeypatch.delenv("LSLAPICFG")
    (finding,) = doctor_lsl.lsl_configuration()
    assert finding.status == "problem" and str(stray) in finding.found
    monkeypatch.setenv("LSLAPICFG", str(tmp_path / "gone.cfg"))
    assert "which is no file" in doctor_lsl.lsl_configuration()[0].found


@pytest.mark.lsl
def test_discovery_finds_its_own_outlet():
    assert statuses(doctor_lsl.lsl_discovery()) == ["ok"]


def test_discovery_that_fails_says_what_to_open(monkeypatch):
    import realtime.streams

    def deaf(query):
        raise StreamError("nothing")

    monkeypatch.setattr(realtime.streams, "resolve_one", deaf)
    (finding,) = doctor_lsl.lsl_discovery()
    assert finding.status == "problem" and "16571" in finding.todo


def test_an_old_liblsl_is_a_problem(monkeypatch):
    import pylsl

    monkeypatch.setattr(pylsl, "library_version", lambda: 117)
    (finding,) = doctor_lsl.liblsl()
    assert finding.status == "problem" and finding.found.startswith("1.17")


@pytest.mark.parametrize(
    ("offset", "rate", "status"), [(0.0, 1.0, "ok"), (5.0, 1.0, "note"), (0.0, 1.001, "problem")]
)
def test_clocks_are_compared(monkeypatch, offset, rate, status):
    import time

    import pylsl

    start = time.monotonic()
    told = lambda: start + offset + rate * (time.monotonic() - start)  # noqa: E731
    monkeypatch.setattr(pylsl, "local_clock", told)
    assert statuses(doctor_lsl.lsl_clock()) == [status]


# --- machine ------------------------------------------------------------------------------------


def test_no_sound_is_a_problem(monkeypatch):
    import realtime.devices

    monkeypatch.setattr(realtime.devices, "usable_output", lambda: "there is none")
    (finding,) = doctor_machine.sound()
    assert (finding.status, finding.found) == ("problem", "there is none")


@pytest.mark.parametrize(("over_ms", "status"), [(0.1, "ok"), (3.0, "note"), (6.0, "problem")])
def test_timers_are_judged(monkeypatch, over_ms, status):
    monkeypatch.setattr(doctor_machine, "_overshoot_ms", lambda: over_ms)
    assert statuses(doctor_machine.timers()) == [status]


def test_what_to_grant_is_said(monkeypatch):
    monkeypatch.setattr(doctor_machine, "has_capability", lambda number: False)
    monkeypatch.setattr(doctor_machine, "_limit", lambda name: 0.0)
    monkeypatch.setattr(doctor_machine, "_try_fifo", lambda: "Operation not permitted")
    checks = {
        "rtprio 70": doctor_machine.real_time_priority,
        "nice -11": doctor_machine.nice_level,
        "memlock unlimited": doctor_machine.memory_lock,
    }
    for what, check in checks.items():
        (finding,) = check()
        assert finding.status == "note"
        assert what in finding.todo and "limits.d/seegvox.conf" in finding.todo


@pytest.mark.parametrize(
    ("usable", "isolated", "status", "said"),
    [
        ((0, 1, 2, 3), "", "ok", "isolcpus=3"),
        ((0, 1, 2, 3), "3\n", "ok", "(3)"),
        ((0, 2), "", "note", "taskset"),
    ],
)
def test_cores_are_told(tmp_path, monkeypatch, usable, isolated, status, said):
    from realtime import scheduling

    path = tmp_path / "isolated"
    path.write_text(isolated)
    monkeypatch.setattr(doctor_machine, "_ISOLATED", path)
    monkeypatch.setattr(doctor_machine.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(scheduling, "usable_cores", lambda: usable)
    (finding,) = doctor_machine.affinity()
    assert finding.status == status and said in finding.todo


@pytest.mark.parametrize(
    ("runtime", "status"), [("950000", "ok"), ("-1", "ok"), ("500000", "note"), (None, "note")]
)
def test_the_share_of_real_time_threads_is_told(tmp_path, monkeypatch, runtime, status):
    monkeypatch.setattr(doctor_machine, "_RT", tmp_path)
    if runtime is not None:
        (tmp_path / "sched_rt_runtime_us").write_text(runtime)
        (tmp_path / "sched_rt_period_us").write_text("1000000")
    assert statuses(doctor_machine.real_time_share()) == [status]


def test_a_finite_limit_locks_only_the_start(monkeypatch):
    monkeypatch.setattr(doctor_machine, "has_capability", lambda number: False)
    monkeypatch.setattr(doctor_machine, "_limit", lambda name: 8.0 * 2**20)
    (finding,) = doctor_machine.memory_lock()
    assert finding.status == "note" and "at the start" in finding.found
    monkeypatch.setattr(doctor_machine, "_limit", lambda name: float("inf"))
    assert statuses(doctor_machine.memory_lock()) == ["ok"]


def test_priority_is_tried_on_a_thread_of_its_own():
    import os

    before = os.sched_getscheduler(0)
    doctor_machine.real_time_priority()
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize(("text", "status"), [("performance\n", "ok"), ("powersave\n", "note")])
def test_governor(tmp_path, monkeypatch, text, status):
    path = tmp_path / "scaling_governor"
    monkeypatch.setattr(doctor_machine, "_GOVERNOR", path)
    assert statuses(doctor_machine.governor()) == ["note"]
    path.write_text(text)
    assert statuses(doctor_machine.governor()) == [status]
