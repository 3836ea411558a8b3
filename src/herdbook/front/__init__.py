"""The one object people hold: the same verbs over a database or a server.

A noun's methods check nothing and decide nothing: they name a verb and hand its arguments to
a door, which is a database (`bootstrap`) or a server (`client`).
"""
