"""A study with users: only who may export does, and what was signed says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree
from pypdf import PdfReader

from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.reconcile import reconcile
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user

NS = "{http://www.cdisc.org/ns/odm/v1.3}"


def test_that_a_signature_leaves_as_one_and_a_blinded_reader_exports_nothing(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s", user="tester") as store:
        case = CaseBuilder(store)
        case.lock("Baseline", reader="reader-a")  # before there were users
        add_people(store, "manager", "reader-a")
        as_user(store, "reader-a")
        saved = case.save("Day 30", reader="reader-a", volume_ml=1.0)
        store.lock_reading(saved.reading_id, "Dr A Reader", "review", password=PASSWORD)
        for refused in (lambda: export_study(store, "odm-1.3.2", tmp_path / "no"), lambda: reconcile(store, tmp_path / "x.csv")):
            with pytest.raises(StudyRefused) as caught:
                refused()
            assert caught.value.code == "right_missing"
        assert not (tmp_path / "no").exists()
        as_user(store, "manager")
        assert export_study(store, "odm-1.3.2", tmp_path / "out")["readings"] == 2
        export_study(store, "pdf", tmp_path / "page.pdf", reading_id=saved.reading_id)
        signature = store.snapshot().signatures[0]
    page = PdfReader(tmp_path / "page.pdf").pages[0].extract_text()
    for expected in (signature.signature_id, signature.content_sha256, "Dr A Reader", "; electronic signature"):
        assert expected in page, expected
    assert "not an electronic signature" not in page
    tree = etree.fromstring((tmp_path / "out" / "transactional.xml").read_bytes())
    reasons = {d.get("OID"): d.findtext(f"{NS}LegalReason") for d in tree.iter(f"{NS}SignatureDef")}
    told = [reasons[s.get("SignatureOID")] for s in tree.iter(f"{NS}SignatureRef")]
    assert told == ["not an electronic signature", "electronic signature, bound to the hash of the record"]
    assert sum(i.get("ItemOID") == "IT.RD.SIGNATURE_ID" for i in tree.iter(f"{NS}ItemData")) == 1
