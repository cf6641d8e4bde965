"""Approximate indexes: what they find, what they say of themselves, and that packs stay whole."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from cli_kit import run_cli
from maps_kit import FakeEncoder, PlainSource
from mobilegeo.errors import PackError, UsageError
from mobilegeo.index import ExactIndex, PackIndex, build
from mobilegeo.index.build import build_index, remove_index
from mobilegeo.index.facts import index_facts
from mobilegeo.index.trial import LIKENESS, recall, trial_queries
from mobilegeo.maps.build import build_pack
from mobilegeo.maps.pack import MapPack, pack_info
