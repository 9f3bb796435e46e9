"""The store and the relay directory on the Kubernetes API.

Only `connection` touches the `kubernetes` package, for its credentials, TLS and proxy settings and connection pool.
Objects travel as plain JSON: no generated models.
"""
