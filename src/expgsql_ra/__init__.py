"""PostgreSQL high availability for Pacemaker: the OCF agent `expgsql` and its commands."""

__version__ = "0.1.0"
