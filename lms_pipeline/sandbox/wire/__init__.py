"""The API as it is spoken over HTTP: routes, parameters, formats, cursors, errors, limits. It knows no particular world."""
