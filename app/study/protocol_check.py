"""Everything that is wrong with a protocol file, told at once: where, which kind of mistake, in a plain sentence.

Two schemas: ``nodus.protocol/2`` and the earlier ``nodus.protocol/1``, which old studies have frozen.
A fault (``error``) keeps the protocol from being used; a ``warning`` is worth a look.
"""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise
from typing import Any

from app.study import protocol_words as words
from app.study.model import EVENT_KINDS, LEVELS, METHODS, MODALITIES
from app.study.protocol_calendar import CalendarFaults
from app.study.protocol_faults import FARTHEST_DAYS, SCHEMA, SCHEMA_1, ProtocolFault, is_number, is_text, is_whole

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def find_faults(content: Any) -> tuple[ProtocolFault, ...]:
    """Everything wrong with or worth knowing about a protocol's content, in the file's order of sections; empty if nothing is."""
    check = _Check()
    if not isinstance(content, dict):
        check.fault("protocol_value", "", "the file is not an object")
    elif content.get("schema") == SCHEMA_1:
        check.first_schema(content)
    elif content.get("schema") == SCHEMA:
        check.second_schema(content)
    else:
        check.fault("protocol_schema", "schema", f"schema must be {SCHEMA!r} (or {SCHEMA_1!r}, of earlier studies)")
    return tuple(check.found)


class _Check(CalendarFaults):
    """All sections of both schemas."""

    # -- what both schemas share ----------------------------------------------------------------------

    def names(self, content: dict) -> None:
        for key in ("id", "version", "title"):
            if not is_text(content.get(key)):
                self.fault("protocol_value", key, f"{key} must be text")
        for key in ("id", "version"):  # they stand in headers, file names and stamps
            if is_text(content.get(key)) and not _ID.fullmatch(content[key]):
                self.fault("protocol_value", key, f"{key} may hold letters, digits, dot, dash and underscore only")

    def reading(self, content: dict) -> dict:
        reading = content.get("reading")
        if not isinstance(reading, dict):
            self.fault("protocol_value", "reading", "reading must be an object with modalities and methods")
            return {}
        self.some_of(reading.get("modalities"), MODALITIES, "reading.modalities", code="protocol_modality_unknown")
        self.some_of(reading.get("methods"), METHODS, "reading.methods", code="protocol_method_unknown")
        for key in ("allow_propagated_outlines", "allow_model_outlines", "compare_visits"):
            self.flag(reading, key, "reading")
        stated = reading.get("repeatability_cv_pct", {})
        if not isinstance(stated, dict):
            self.fault("protocol_value", "reading.repeatability_cv_pct", "reading.repeatability_cv_pct must be an object")
        else:
            for key, value in stated.items():
                path = f"reading.repeatability_cv_pct[{key!r}]"
                if value is not None and not (is_number(value) and value > 0):
                    self.fault("protocol_value", path, f"{path} must be a positive number or null")
        return reading

    # -- the earlier schema -----------------------------------------------------------------------------

    def first_schema(self, content: dict) -> None:
        self.fault("protocol_schema_old", "schema", f"{SCHEMA_1} is the earlier schema: it states no endpoints, response criteria or adjudication", "warning")
        self.names(content)
        if self.visits(content, ("first", "last")):
            self.reading(content)

    # -- the present one --------------------------------------------------------------------------------

    def second_schema(self, content: dict) -> None:
        self.keys(content, "", words.TOP, words.TOP_NEEDED)
        self.names(content)
        for key in ("registry", "design", "sponsor"):
            if content.get(key) is not None and not isinstance(content[key], str):
                self.fault("protocol_value", key, f"{key} must be text or null")
        self.number(content, "participants", "", whole=True, low=1, null=True)
        if "treatment" in content:
            self.one_of(content["treatment"], words.TREATMENTS, "treatment")
        if "month_arithmetic" in content:
            self.one_of(content["month_arithmetic"], words.MONTH_ARITHMETIC, "month_arithmetic")
        arms = self.arms(content)
        planned = content.get("visits") if isinstance(content.get("visits"), list) else []
        names = [v["name"] for v in planned if isinstance(v, dict) and is_text(v.get("name"))]
        anchors = self.anchors(content, names, arms)
        visits = self.visits(content, anchors)
        for number, visit in enumerate(content["visits"] if visits else []):
            if isinstance(visit, dict):
                self.visit_2(visit, f"visits[{number}]", arms)
        self.calendar(visits, content.get("anchors") if anchors else {})
        if "ends_follow_up" in content:
            self.some_of(content["ends_follow_up"], EVENT_KINDS, "ends_follow_up", empty=True)
        self.treating(content, names)
        self.limits(content)
        reading = self.reading(content)
        self.reading_2(reading, anchors)
        self.adjudication(content, reading)
        criteria = self.response(content)
        self.endpoints(content, names, anchors, criteria, arms)
        self.pain(content, anchors)
        self.definitions(content)
        self.signature(content)
        self.edc(content)
        self.open(content)

    def treating(self, content: dict, visits: list[str]) -> None:
        if self.is_object(content, "ablation"):
            ablation = content["ablation"]
            self.keys(ablation, "ablation", words.ABLATION, ("kinds",))
            self.some_of(ablation.get("kinds"), words.ABLATIONS, "ablation.kinds")
            self.number(ablation, "rounds_max", "ablation", whole=True, low=1, null=True)
            self.number(ablation, "days_from_systemic_from", "ablation", whole=True)
            span = ablation.get("lesions_per_round")
            if span is not None and not (isinstance(span, list) and len(span) == 2 and all(map(is_whole, span)) and 1 <= span[0] <= span[1]):
                self.fault("protocol_limit_impossible", "ablation.lesions_per_round", "ablation.lesions_per_round must be two whole numbers from 1, the smaller first, or null")
        elif content.get("treatment") in words.TREATMENTS[:-1]:
            self.fault("protocol_key_missing", "ablation", f"ablation is missing: treatment is {content['treatment']}")
        if self.is_object(content, "salvage"):
            salvage = content["salvage"]
            self.keys(salvage, "salvage", words.SALVAGE, words.SALVAGE)
            self.number(salvage, "allowed", "salvage", whole=True, low=1)
            self.number(salvage, "within_days", "salvage", whole=True, low=1, high=FARTHEST_DAYS)
            self.one_of(salvage.get("counted_from"), ("scan", "result"), "salvage.counted_from")
            if salvage.get("after_visit") not in visits:
                self.fault("protocol_visit_missing", "salvage.after_visit", f"salvage.after_visit names {salvage.get('after_visit')!r}, which is not planned")

    def limits(self, content: dict) -> None:
        if not self.is_object(content, "limits"):
            return
        limits = content["limits"]
        self.keys(limits, "limits", words.LIMITS)
        for key in words.LIMITS_WHOLE:
            self.number(limits, key, "limits", whole=True, low=1)
        for key in words.LIMITS_ABOVE_ZERO:
            self.number(limits, key, "limits", open_low=True)
        self.number(limits, "liver_fraction_below", "limits", high=1.0, open_low=True)
        if is_whole(limits.get("lesions_min")) and is_whole(limits.get("lesions_max")) and limits["lesions_min"] > limits["lesions_max"]:
            self.fault("protocol_limit_impossible", "limits.lesions_min", "limits: lesions_min is above lesions_max")
        if "levels_excluded" in limits:
            self.some_of(limits["levels_excluded"], LEVELS, "limits.levels_excluded", empty=True)
            if isinstance(limits["levels_excluded"], list) and set(LEVELS) <= {x for x in limits["levels_excluded"] if isinstance(x, str)}:
                self.fault("protocol_limit_impossible", "limits.levels_excluded", "limits.levels_excluded leaves no level")
        if self.is_object(limits, "metal", "limits."):
            metal = limits["metal"]
            self.keys(metal, "limits.metal", words.METAL, words.METAL)
            self.flag(metal, "excluded", "limits.metal")
            self.number(metal, "hu_from", "limits.metal", low=300, high=65535, null=True)
            self.number(metal, "within_mm", "limits.metal", open_low=True, null=True)
            self.number(metal, "voxels_from", "limits.metal", whole=True, low=1, null=True)
        self.listed(limits.get("opinions", []), "limits.opinions", ("name", "text"))
        if limits.get("creatinine_clearance_alternative") is not None and not is_text(limits["creatinine_clearance_alternative"]):
            self.fault("protocol_value", "limits.creatinine_clearance_alternative", "limits.creatinine_clearance_alternative must be text")

    def listed(self, value: Any, path: str, keys: tuple[str, ...]) -> None:
        """A list of objects of texts with a unique first key."""
        if not isinstance(value, list) or any(not isinstance(v, dict) or any(not is_text(v.get(k)) for k in keys) for v in value):
            self.fault("protocol_value", path, f"{path} must be a list of objects with the texts {' and '.join(keys)}")
        elif len({v[keys[0]] for v in value}) != len(value):
            self.fault("protocol_duplicate", path, f"{path}: two entries have the same {keys[0]}")

    def reading_2(self, reading: dict, anchors: tuple[str, ...]) -> None:
        if not reading:
            return
        self.keys(reading, "reading", words.READING, words.READING_NEEDED)
        self.number(reading, "readers", "reading", whole=True, low=1, high=9)
        if "order" in reading:
            self.one_of(reading["order"], ("randomised", "sequential"), "reading.order")
        if "hide" in reading:
            self.some_of(reading["hide"], words.HIDE, "reading.hide", empty=True)
        self.number(reading, "enhancing_above_hu", "reading", low=-1024, high=65535, null=True)
        if "residual_grades" in reading:
            self.listed(reading["residual_grades"], "reading.residual_grades", ("grade", "text"))
        if "baseline" in reading and reading["baseline"] is None:
            self.fault("protocol_value", "reading.baseline", "reading.baseline must be an object")
        if self.is_object(reading, "baseline", "reading."):
            baseline = reading["baseline"]
            self.keys(baseline, "reading.baseline", words.BASELINE, words.BASELINE)
            if baseline.get("before") not in anchors:
                self.fault("protocol_anchor_unknown", "reading.baseline.before", "reading.baseline.before must be an anchor that is declared")
            self.one_of(baseline.get("rule"), ("last_evaluable",), "reading.baseline.rule")
            self.some_of(baseline.get("same"), ("reader", "modality", "method"), "reading.baseline.same")

    def adjudication(self, content: dict, reading: dict) -> None:
        if not self.is_object(content, "adjudication"):
            return
        rules = content["adjudication"]
        self.keys(rules, "adjudication", words.ADJUDICATION, words.ADJUDICATION)
        self.one_of(rules.get("method"), ("select",), "adjudication.method")
        self.one_of(rules.get("adjudicator_role"), ("adjudicator",), "adjudication.adjudicator_role")
        self.one_of(rules.get("scope"), ("baseline_visit_pair",), "adjudication.scope")
        self.one_of(rules.get("without_trigger"), words.WITHOUT_TRIGGER, "adjudication.without_trigger")
        if rules.get("without_trigger") == "reader_2" and reading.get("readers") == 1:
            self.fault("protocol_limit_impossible", "adjudication.without_trigger", "adjudication.without_trigger names a second reader; there is one")
        if self.is_object(rules, "triggers", "adjudication."):
            triggers = rules["triggers"]
            self.keys(triggers, "adjudication.triggers", (*words.TRIGGERS_NUMBER, *words.TRIGGERS_FLAG, "vrr_class_bounds_pct"))
            for key in words.TRIGGERS_NUMBER:
                self.number(triggers, key, "adjudication.triggers", null=True)
            for key in words.TRIGGERS_FLAG:
                self.flag(triggers, key, "adjudication.triggers")
            bounds = triggers.get("vrr_class_bounds_pct", [])
            if not isinstance(bounds, list) or not all(map(is_number, bounds)) or any(a >= b for a, b in pairwise(bounds)):
                self.fault("protocol_value", "adjudication.triggers.vrr_class_bounds_pct", "adjudication.triggers.vrr_class_bounds_pct must be numbers, each above the one before")
            elif triggers.get("vrr_class_differs") is True and not bounds:
                self.fault("protocol_limit_impossible", "adjudication.triggers.vrr_class_bounds_pct", "adjudication.triggers: classes of VRR are compared, but no bound makes a class")

    def response(self, content: dict) -> tuple[str, ...]:
        response = content.get("response", [])
        if not isinstance(response, list) or any(not isinstance(r, dict) for r in response):
            self.fault("protocol_value", "response", "response must be a list of objects")
            return ()
        for number, rule in enumerate(response):
            path = f"response[{number}]"
            self.keys(rule, path, words.RESPONSE, ("criteria", "primary", "modalities"))
            self.one_of(rule.get("criteria"), words.CRITERIA, f"{path}.criteria")
            self.flag(rule, "primary", path)
            self.some_of(rule.get("modalities"), MODALITIES, f"{path}.modalities", code="protocol_modality_unknown")
            self.number(rule, "confirmation_days", path, whole=True, null=True)
        if sum(r.get("primary") is True for r in response) > 1:
            self.fault("protocol_duplicate", "response", "response: more than one set of criteria is primary")
        return tuple(str(r.get("criteria")) for r in response)

    def endpoints(self, content: dict, visits: list[str], anchors: tuple[str, ...], criteria: tuple[str, ...], arms: tuple[str, ...]) -> None:
        endpoints = content.get("endpoints", [])
        if not isinstance(endpoints, list) or any(not isinstance(e, dict) for e in endpoints):
            self.fault("protocol_value", "endpoints", "endpoints must be a list of objects")
            return
        names = [e.get("name") for e in endpoints if is_text(e.get("name"))]
        if len(set(names)) != len(names):
            self.fault("protocol_duplicate", "endpoints", "two endpoints have the same name")
        for number, end in enumerate(endpoints):
            self.endpoint(end, f"endpoints[{number}]", visits, anchors, criteria, arms)

    def endpoint(self, end: dict, path: str, visits: list[str], anchors: tuple[str, ...], criteria: tuple[str, ...], arms: tuple[str, ...]) -> None:
        self.keys(end, path, words.ENDPOINT, words.ENDPOINT_NEEDED)
        for key in ("name", "title"):
            if not is_text(end.get(key)):
                self.fault("protocol_value", f"{path}.{key}", f"{path}.{key} must be text")
        self.one_of(end.get("rank"), words.RANKS, f"{path}.rank")
        self.one_of(end.get("kind"), words.ENDPOINT_KINDS, f"{path}.kind")
        self.one_of(end.get("population"), words.POPULATIONS, f"{path}.population")
        clock = end.get("clock")
        if not isinstance(clock, dict):
            self.fault("protocol_value", f"{path}.clock", f"{path}.clock must be an object with of and anchor")
        else:
            self.keys(clock, f"{path}.clock", ("of", "anchor"), ("of", "anchor"))
            self.one_of(clock.get("of"), ("node", "subject"), f"{path}.clock.of")
            if clock.get("anchor") not in anchors:
                self.fault("protocol_anchor_unknown", f"{path}.clock.anchor", f"{path}.clock.anchor must be an anchor that is declared")
        if str(end.get("kind")) not in words.WITHOUT_VISIT and end.get("visit") not in visits:
            self.fault("protocol_endpoint_visit", f"{path}.visit", f"{path} ({end.get('name')}) names no visit of this protocol: {end.get('visit')!r}")
        self.days(end.get("window_days"), path)
        self.some_of(end.get("units"), words.UNITS, f"{path}.units")
        primary = end.get("primary_unit")
        if primary is not None and primary not in (end.get("units") if isinstance(end.get("units"), list) else ()):
            self.fault("protocol_value", f"{path}.primary_unit", f"{path}.primary_unit must be one of its units, or null")
        if end.get("criteria") is not None and end["criteria"] not in criteria:
            self.fault("protocol_value", f"{path}.criteria", f"{path}.criteria must be among the criteria under response")
        if "events" in end:
            self.some_of(end["events"], words.ENDPOINT_EVENTS, f"{path}.events")
        elif end.get("kind") in ("PFS", "OS"):
            self.fault("protocol_key_missing", f"{path}.events", f"{path}.events is missing: which events end the time")
        if "arms" in end:
            self.some_of(end["arms"], arms, f"{path}.arms")
        if self.is_object(end, "salvaged", f"{path}."):
            self.keys(end["salvaged"], f"{path}.salvaged", ("handling", "sensitivity"), ("handling",))
            self.one_of(end["salvaged"].get("handling"), ("excluded_counted_listed",), f"{path}.salvaged.handling")
            if end["salvaged"].get("sensitivity") is not None:
                self.one_of(end["salvaged"]["sensitivity"], ("last_pre_salvage_volume",), f"{path}.salvaged.sensitivity")

    def pain(self, content: dict, anchors: tuple[str, ...]) -> None:
        needs = [e for e in content.get("endpoints", []) if isinstance(e, dict) and str(e.get("kind")) in words.WITHOUT_VISIT] if isinstance(content.get("endpoints"), list) else []
        if not self.is_object(content, "pain"):
            if needs and content.get("pain") is None:
                self.fault("protocol_key_missing", "pain", "pain is missing: an endpoint needs the hours of the pain scores")
            return
        pain = content["pain"]
        self.keys(pain, "pain", words.PAIN, words.PAIN_NEEDED)
        self.one_of(pain.get("scale"), ("NRS",), "pain.scale")
        hours = pain.get("hours")
        if not isinstance(hours, list) or len(hours) < 2 or not all(map(is_number, hours)) or any(a >= b for a, b in pairwise(hours)) or hours[0] < 0:
            self.fault("protocol_value", "pain.hours", "pain.hours must be two or more numbers from 0 on, each above the one before")
        if pain.get("anchor") not in anchors:
            self.fault("protocol_anchor_unknown", "pain.anchor", "pain.anchor must be an anchor that is declared")
        self.number(pain, "tolerance_hours", "pain", null=True)
        self.number(pain, "sustained_from", "pain", high=10.0, open_low=True)
        self.number(pain, "sustained_consecutive", "pain", whole=True, low=1)
        if is_whole(pain.get("sustained_consecutive")) and isinstance(hours, list) and pain["sustained_consecutive"] > len(hours):
            self.fault("protocol_limit_impossible", "pain.sustained_consecutive", "pain.sustained_consecutive is more than there are scheduled hours")

    def definitions(self, content: dict) -> None:
        if self.is_object(content, "definitions"):
            told = content["definitions"]
            self.keys(told, "definitions", words.DEFINITIONS)
            self.number(told, "regrowth_above_smallest_pct", "definitions", open_low=True, null=True)
            if "recurrence" in told:
                self.some_of(told["recurrence"], words.RECURRENCE, "definitions.recurrence")

    def signature(self, content: dict) -> None:
        if self.is_object(content, "signature"):
            self.keys(content["signature"], "signature", ("meanings",), ("meanings",))
            meanings = content["signature"].get("meanings")
            if not isinstance(meanings, dict) or not meanings or not all(map(is_text, [*meanings, *meanings.values()])):
                self.fault("protocol_value", "signature.meanings", "signature.meanings must be an object of words and their sentences")

    def edc(self, content: dict) -> None:
        if not self.is_object(content, "edc"):
            return
        self.keys(content["edc"], "edc", ("mapping",), ("mapping",))
        mapping = content["edc"].get("mapping")
        if not is_text(mapping) or not _ID.fullmatch(mapping):
            self.fault("protocol_value", "edc.mapping", "edc.mapping must be the name of a mapping file")
        elif not (resources.files("resources") / "edc" / f"{mapping}.json").is_file():
            self.fault("protocol_edc_missing", "edc.mapping", f"edc.mapping names {mapping!r}; the program has no mapping of that name", "warning")

    def open(self, content: dict) -> None:
        entries = content.get("open", [])
        if not isinstance(entries, list):
            self.fault("protocol_value", "open", "open must be a list")
            return
        for number, entry in enumerate(entries):
            path = f"open[{number}]"
            if not isinstance(entry, dict):
                self.fault("protocol_value", path, f"{path} is not an object")
                continue
            self.keys(entry, path, ("field", "default", "note"))
            for key in ("field", "note"):
                if not is_text(entry.get(key)):
                    self.fault("protocol_value", f"{path}.{key}", f"{path}.{key} must be text")
            if "default" not in entry:
                self.fault("protocol_open_without_default", f"{path}.default", f"{path} ({entry.get('field')}) does not say which default is taken until the sponsor confirms")
            head = re.split(r"[.\[]", str(entry.get("field", "")))[0]
            if is_text(entry.get("field")) and head not in words.TOP:
                self.fault("protocol_open_field", f"{path}.field", f"{path}.field begins with {head!r}, which is no key of a protocol")
