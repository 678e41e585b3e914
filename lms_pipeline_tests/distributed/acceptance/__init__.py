"""An installation over several machines without a shared disk: what a person sees of whole nights, kills and stops."""
