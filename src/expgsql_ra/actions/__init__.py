# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions: observe once, decide by the rules, apply what differs, answer honestly."""
