#!/usr/bin/python3
"""reports.py DIRECTORY: the three reports of a run are there, well-formed and agree; prints the verdict, then the codes."""

import json
import pathlib
import sys
import xml.etree.ElementTree as xml

import jsonschema

directory = pathlib.Path(sys.argv[1])
schema = json.loads((pathlib.Path(__file__).parents[2] / "schema/result.schema.json").read_text())

document = json.loads((directory / "report.json").read_text())
jsonschema.validate(document, schema)

junit = xml.parse(directory / "junit.xml").getroot()
assert junit.tag == "testsuites", junit.tag
cases = list(junit.iter("testcase"))
broken = [found for case in cases for kind in ("failure", "error", "skipped") if (found := case.find(kind)) is not None]
assert cases and all(case.get("name") for case in cases)
for kind, name in (("failure", "failures"), ("error", "errors")):
    assert int(junit.get(name)) == sum(case.find(kind) is not None for case in cases), name
assert int(junit.get("tests")) == len(cases)
codes = {element.get("type") for element in broken}
counted = [probe for probe in document["probes"] if not probe.get("superseded_by")]
assert codes == {probe["code"] for probe in counted if probe["verdict"] in ("fail", "unknown")}, codes

summary = (directory / "summary.md").read_text()
assert document["verdict"] in summary.lower(), summary

print(document["verdict"], *sorted(codes))
