"""What drives the phones: a backend finds devices, installs a build on one, and tells whether it is well."""
