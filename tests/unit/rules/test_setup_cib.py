# SPDX-License-Identifier: GPL-2.0-or-later
"""What a set-up changes in a configuration, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from expgsql_ra.rules.setup_cib import Merged, merged
from expgsql_ra.rules.setup_wanted import needs_fencing, objections, wanted
from expgsql_ra.setup_files import read_setup
from expgsql_ra.setup_model import Setup

GOLDEN = Path(__file__).parents[2] / "golden/setup"
EMPTY = "<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration></cib>"


def a_setup(name: str = "three.toml", old: str = "", new: str = "") -> Setup:
    """One of the examples, changed."""
    text = (GOLDEN / name).read_text(encoding="utf-8")
    assert old in text
    return read_setup(text.replace(old, new) if old else text, is_toml=name.endswith(".toml"))


def merge(setup: Setup, cib: ET.Element | str = EMPTY) -> Merged:
    """Change a configuration."""
    document = ET.fromstring(cib) if isinstance(cib, str) else cib
    return merged(document, wanted(setup), "pgsql")


def words(outcome: Merged) -> list[str]:
    """The differences."""
    return [str(change) for change in outcome.changes]


def configured(setup: Setup | None = None) -> ET.Element:
    """A configuration that a set-up has made."""
    return merge(setup or a_setup()).document


def part(cib: ET.Element, identity: str) -> ET.Element:
    """What has an id."""
    return next(one for one in cib.iter() if one.get("id") == identity)


@pytest.mark.parametrize("name", ["three.toml", "two.toml", "dual.ini", "muti.ini", "muti_with_lvs.ini"])
def test_applied_twice_is_applied_once(name: str) -> None:
    setup = a_setup(name)
    first = merge(setup)
    assert first.changes
    before = ET.tostring(first.document)
    again = merge(setup, first.document)
    assert (again.changes, again.obstacles, again.left_alone) == ((), (), ())
    assert ET.tostring(again.document) == before


def test_no_id_is_used_twice() -> None:
    cib = ET.fromstring(EMPTY)
    ET.SubElement(cib[0][2], "primitive", {"id": "pgsql-instance_attributes", "class": "ocf", "type": "Dummy"})
    made = merge(a_setup("muti_with_lvs.ini"), cib).document
    ids = [one.get("id") for one in made.iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    assert part(made, "pgsql-instance_attributes-1").tag == "instance_attributes"


def test_the_members_stand_where_they_belong() -> None:
    made = configured()
    clone, group = part(made, "msPostgresql"), part(made, "master-group")
    assert [one.get("id") for one in clone.iterfind("primitive")] == ["pgsql"]
    assert [one.get("id") for one in group.iterfind("primitive")] == ["vip-master"]
    assert [one.tag for one in part(made, "vip-slave")] == ["instance_attributes", "meta_attributes", "operations"]


def test_a_section_of_the_configuration_will_do() -> None:
    outcome = merge(a_setup(), "<configuration><crm_config/><resources/></configuration>")
    assert not merge(a_setup(), outcome.document).changes


def test_a_changed_value_is_one_difference() -> None:
    made = configured()
    outcome = merge(a_setup(old="version = 15", new="version = 15\nport = 5433"), made)
    assert words(outcome) == ["+ pgsql: pgport=5433"]
    back = merge(a_setup(), outcome.document)
    assert words(back) == ["- pgsql: pgport=5433"]


def test_operations_are_compared_by_what_they_mean() -> None:
    made = configured()
    monitor = part(made, "pgsql-monitor-interval-3s")
    monitor.set("role", "Master")
    monitor.set("timeout", "60")
    part(made, "pgsql-start-interval-0s").attrib.pop("on-fail")
    part(made, "pgsql-stop-interval-0s").set("timeout", "90s")
    operations = next(one for one in part(made, "pgsql") if one.tag == "operations")
    operations.remove(part(made, "pgsql-notify-interval-0s"))
    assert words(merge(a_setup(), made)) == [
        "+ pgsql: operation start: on-fail restart",
        "~ pgsql: operation stop: timeout 90s -> 60s",
        "+ pgsql: operation notify",
    ]


def test_what_operators_set_stays() -> None:
    made = configured()
    meta = part(made, "msPostgresql-meta_attributes")
    ET.SubElement(meta, "nvpair", {"id": "x", "name": "target-role", "value": "Stopped"})
    ET.SubElement(made[0][3], "rsc_location", {"id": "cli-ban", "rsc": "msPostgresql", "node": "node1"})
    outcome = merge(a_setup(), made)
    assert outcome.changes == ()
    assert outcome.left_alone == ("constraint cli-ban on msPostgresql",)


def test_constraints_made_by_hand_count_as_what_they_say() -> None:
    made = configured()
    colocation = part(made, "pgsql-writer-beside-primary")
    colocation.set("id", "by-hand")
    colocation.set("rsc-role", "Started")
    colocation.set("with-rsc-role", "Master")
    order = part(made, "pgsql-demote-then-writer")
    order.attrib.pop("kind")
    order.set("score", "0")
    part(made, "pgsql-promote-then-writer").attrib.pop("kind")
    part(made, "pgsql-reader-sync").set("id", "location-vip-slave")
    part(made, "pgsql-reader-sync-rule").attrib.pop("boolean-op")
    outcome = merge(a_setup(), made)
    assert (outcome.changes, outcome.left_alone) == ((), ())


def test_a_constraint_that_says_something_else_is_corrected_in_place() -> None:
    made = configured()
    part(made, "pgsql-writer-beside-primary").set("score", "100")
    part(made, "pgsql-writer-beside-primary").set("id", "by-hand")
    part(made, "pgsql-reader-sync-rule").set("score", "1")
    outcome = merge(a_setup(), made)
    assert words(outcome) == [
        "~ constraint by-hand: master-group runs beside the Promoted msPostgresql",
        "~ constraint pgsql-reader-sync: vip-slave: 200 where pgsql-status eq HS:sync",
    ]
    assert part(outcome.document, "by-hand").get("score") == "INFINITY"
    assert not merge(a_setup(), outcome.document).changes


def test_what_the_file_no_longer_has_goes() -> None:
    outcome = merge(a_setup(old='reader = "192.0.2.11"\n', new=""), configured())
    assert words(outcome)[-1] == "- resource vip-slave"
    assert len(outcome.changes) == 5
    assert not merge(a_setup(old='reader = "192.0.2.11"\n', new=""), outcome.document).changes
    orphan = configured()
    orphan[0][2].remove(part(orphan, "vip-slave"))
    assert len(merge(a_setup(old='reader = "192.0.2.11"\n', new=""), orphan).changes) == 4


def test_a_node_may_become_primary_again() -> None:
    setup = a_setup(old="fencing", new='never_primary = ["node3"]\nfencing')
    outcome = merge(a_setup(), configured(setup))
    assert words(outcome) == ["- constraint pgsql-never-primary-node3"]


def test_others_are_not_touched() -> None:
    foreign = """<cib><configuration><crm_config><cluster_property_set id="mine">
        <nvpair id="m" name="stonith-enabled" value="true"/><nvpair id="n" name="other" value="1"/>
        </cluster_property_set></crm_config><resources><primitive id="web" class="ocf" type="Dummy"/></resources>
        <constraints><rsc_location id="l" rsc="web" node="node1" score="1"/><rsc_ticket id="t" rsc="web"/></constraints>
        <rsc_defaults><meta_attributes id="d"/></rsc_defaults></configuration></cib>"""
    outcome = merge(a_setup(), foreign)
    assert "~ property stonith-enabled: true -> false" in words(outcome)
    assert [part(outcome.document, one).attrib for one in ("web", "l", "t", "d", "n")] == [
        part(ET.fromstring(foreign), one).attrib for one in ("web", "l", "t", "d", "n")
    ]
    assert part(outcome.document, "m").get("value") == "false"
    assert outcome.left_alone == ()


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        ('<primitive id="vip-master" class="ocf" provider="heartbeat" type="Dummy"/>', "is ocf:heartbeat:Dummy"),
        ('<primitive id="vip-master" class="systemd" type="nginx"/>', "is systemd:nginx"),
        ('<group id="pgsql"/>', "pgsql is in the cluster and is a group"),
        ('<group id="msPostgresql"/>', "msPostgresql is in the cluster and is a group"),
        (
            '<clone id="other"><primitive id="pgsql" class="ocf" provider="heartbeat" type="expgsql"/></clone>',
            "pgsql is in other: write that as its clone in [names]",
        ),
    ],
)
def test_a_name_that_somebody_else_has_is_in_the_way(resource: str, why: str) -> None:
    outcome = merge(a_setup(), EMPTY.replace("<resources/>", f"<resources>{resource}</resources>"))
    assert any(why in one for one in outcome.obstacles)
    assert outcome.changes == ()


def test_a_plain_resource_is_moved_into_its_clone() -> None:
    plain = '<resources><primitive id="pgsql" class="ocf" provider="heartbeat" type="expgsql"/></resources>'
    outcome = merge(a_setup(), EMPTY.replace("<resources/>", plain))
    assert "+ clone msPostgresql of pgsql" in words(outcome)
    assert [one.get("id") for one in part(outcome.document, "msPostgresql").iterfind("primitive")] == ["pgsql"]


def test_secrets_are_not_shown() -> None:
    setup = a_setup(old="[addresses]", new='[parameters]\nmonitor_password = "xyzzy"\n[addresses]')
    assert "+   monitor_password=***" in words(merge(setup))


def test_two_nodes_need_an_arbiter_or_a_word() -> None:
    two = a_setup(old=', "node3"', new="")
    assert "two nodes without an arbiter" in next(objections(two))
    accepted = two._replace(arbiter=two.arbiter.replace(none=True))
    assert [*objections(accepted)] == []
    assert [*objections(a_setup("two.toml"))] == []
    alone = two._replace(cluster=two.cluster.replace(nodes=("node1",)))
    assert [one.partition(":")[0] for one in objections(alone)] == ["one node only"]
    assert dict(wanted(a_setup("two.toml")).properties)["no-quorum-policy"] == "ignore"
    assert "no-quorum-policy" not in dict(wanted(two).properties)


def test_fencing_is_asked_for_unless_done_without() -> None:
    assert needs_fencing(a_setup("two.toml"))
    assert not needs_fencing(a_setup())
    assert not needs_fencing(a_setup("two.toml", "[properties]", "[properties]\nstonith-enabled = false"))


def test_the_agents_that_the_nodes_need() -> None:
    assert wanted(a_setup("muti_with_lvs.ini")).agents == (
        "ocf:heartbeat:expgsql",
        "ocf:heartbeat:IPaddr2",
        "ocf:heartbeat:lvsdr",
        "ocf:heartbeat:lvsdr-realsvr",
    )
