# SPDX-License-Identifier: GPL-2.0-or-later
"""What forbids the guard to report, asked of Pacemaker's own `cibadmin` on a configuration in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.effects.process import run
from expgsql_ra.rules.reporting import Leave, Report, may_report, obstacles

pytestmark = pytest.mark.lab

CIB = """
<cib validate-with="pacemaker-3.7" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config><cluster_property_set id="p">{properties}</cluster_property_set></crm_config>
    <nodes>
      <node id="1" uname="node1"><instance_attributes id="n1">{here}</instance_attributes></node>
      <node id="2" uname="node2"><instance_attributes id="n2">{there}</instance_attributes></node>
    </nodes>
    <resources>
      <template id="base" class="ocf" provider="heartbeat" type="expgsql">
        <meta_attributes id="tm">{template}</meta_attributes>
      </template>
      <clone id="ms">
        <meta_attributes id="cm">{clone}</meta_attributes>
        <primitive id="pgsql" template="base">
          <meta_attributes id="rm">{resource}</meta_attributes>
          <operations>
            <op id="o1" name="monitor" interval="3s" {monitor}/>
            <op id="o2" name="stop" interval="0s" on-fail="block"/>
          </operations>
        </primitive>
      </clone>
      <primitive id="other" class="ocf" provider="heartbeat" type="Dummy">
        <meta_attributes id="om">{other}</meta_attributes>
        <operations><op id="o3" name="monitor" interval="10s" on-fail="block"/></operations>
      </primitive>
    </resources>
    <constraints/>
    <rsc_defaults><meta_attributes id="rd">{rsc_defaults}</meta_attributes></rsc_defaults>
    <op_defaults><meta_attributes id="od">{op_defaults}</meta_attributes></op_defaults>
  </configuration>
  <status>
    <node_state id="1" uname="node1">
      <transient_attributes id="1"><instance_attributes id="s1">{status}</instance_attributes></transient_attributes>
    </node_state>
  </status>
</cib>
"""
PLACES = dict.fromkeys(
    [
        "properties",
        "here",
        "there",
        "template",
        "clone",
        "resource",
        "monitor",
        "other",
        "rsc_defaults",
        "op_defaults",
        "status",
    ],
    "",
)


def answer(folder: Path, **content: str) -> Report | Leave:
    """The verdict where one place of a configuration holds something."""
    file = folder / "cib.xml"
    file.write_text(CIB.format(**{**PLACES, **content}), encoding="utf-8")
    question = ("cibadmin", "--query", "--local", "--xpath", obstacles("pgsql", "node1"))
    return may_report(run(question, timeout=10, environ={"CIB_file": str(file)}).code)


def pair(name: str, value: str) -> str:
    """A name and value as the cluster keeps it."""
    return f'<nvpair id="x-{name}" name="{name}" value="{value}"/>'


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("properties", pair("maintenance-mode", "true")),
        ("properties", pair("maintenance-mode", "YES")),
        ("properties", pair("maintenance-mode", "1")),
        ("properties", pair("is-managed-default", "false")),
        ("here", pair("maintenance", "on")),
        ("status", pair("maintenance", "true")),
        ("clone", pair("maintenance", "true")),
        ("clone", pair("is-managed", "false")),
        ("resource", pair("is-managed", "Off")),
        ("resource", pair("maintenance", "y")),
        ("template", pair("is-managed", "0")),
        ("rsc_defaults", pair("is-managed", "no")),
        ("op_defaults", pair("on-fail", "ignore")),
        ("monitor", 'on-fail="block"'),
    ],
)
def test_what_is_in_the_way(tmp_path: Path, place: str, content: str) -> None:
    assert isinstance(answer(tmp_path, **{place: content}), Leave)


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("properties", ""),
        ("properties", pair("maintenance-mode", "false")),
        ("properties", pair("stonith-enabled", "true")),
        ("there", pair("maintenance", "true")),
        ("other", pair("is-managed", "false")),
        ("clone", pair("is-managed", "true")),
        ("resource", pair("maintenance", "off")),
        ("rsc_defaults", pair("resource-stickiness", "1")),
        ("op_defaults", pair("on-fail", "restart")),
        ("monitor", 'on-fail="restart"'),
    ],
)
def test_what_is_not(tmp_path: Path, place: str, content: str) -> None:
    assert answer(tmp_path, **{place: content}) == Report()
