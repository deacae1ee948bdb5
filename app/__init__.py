"""The application: study store, use cases, jobs, command line and window."""

__version__ = "0.1.0"

INVESTIGATIONAL_NOTICE = "Investigational use only – not for clinical decisions"
