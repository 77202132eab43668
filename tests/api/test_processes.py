"""`unified serve` as a process: its end, a database that is away, and its memory under more than it can take."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest
from cryptography.fernet import Fernet

from store.keys import MASTER_KEYS_VARIABLE
