"""`session.h5`: what there is of every table, put in place whole each time.

Its datasets are virtual: they name rows of the files under `data/`. It is made in memory and
renamed into place, so whoever opens it, whenever, opens a closed file with as many rows as were
written by then, and may keep it open for as long as they like.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from realtime.record.layout import FORMAT, INDEX, VERSION
from realtime.record.parts import DATASET, LIBVER, Table, fill_value, hdf_type


def write_index(
    folder: Path,
    tables: Sequence[Table],
    about: Mapping[str, Any],
    contacts: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Replace the session's index.

    Parameters
    ----------
    folder : of the session.
    tables : flushed.
    about : settings, versions and counts, as JSON into the dataset `about`.
    contacts : labels of the sEEG's columns.
    facts : attributes of the file.

    Raises
    ------
    OSError
        If it cannot be written; the one before stays.
    """
    partial = folder / f".{INDEX}.partial"
    with partial.open("wb") as file:
        file.write(_image(tables, about, contacts, facts))
    os.replace(partial, folder / INDEX)


def _image(
    tables: Sequence[Table],
    about: Mapping[str, Any],
    contacts: Sequence[str],
    facts: Mapping[str, Any],
) -> bytes:
    with h5py.File(INDEX, "w", driver="core", backing_store=False, libver=LIBVER) as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, **facts})
        file["about"] = json.dumps(about, indent=1, default=str)
        file["seeg/contacts"] = np.array([name.encode() for name in contacts] or [b""], dtype="S")
        for table in tables:
            _add(file, table)
        file.flush()
        return bytes(file.id.get_file_image())


def _add(file: h5py.File, table: Table) -> None:
    spec = table.spec
    rows = sum(rows for _, rows, _ in table.parts)
    if rows == 0:
        data = file.create_dataset(spec.name, (0, *spec.row), spec.kind)
    else:
        create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        create.set_fill_value(fill_value(spec.kind))
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        space, first, rest = h5py.h5s.create_simple((rows, *spec.row)), 0, (0,) * len(spec.row)
        for name, count, room in table.parts:
            if count:
                there = h5py.h5s.create_simple((room, *spec.row))
                there.select_hyperslab((0, *rest), (count, *spec.row))
                space.select_hyperslab((first, *rest), (count, *spec.row))
                create.set_virtual(space, name.encode(), DATASET.encode(), there)
            first += count
        space.select_all()
        made = h5py.h5d.create(
            file.id, spec.name.encode(), hdf_type(spec), space, create, lcpl=links
        )
        data = h5py.Dataset(made)
    data.attrs.update(spec.attributes)
