"""The lab: a real Corosync, Pacemaker and PostgreSQL cluster on this one machine.

A node is a set of namespaces over an overlay of a root file system, so a cluster needs neither
virtual machines nor containers, and leaves the machine as it found it.
"""
