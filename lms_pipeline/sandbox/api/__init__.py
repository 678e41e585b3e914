"""The routes of the sandbox: the API as Truto serves it, and the controls below `/_sandbox`."""
