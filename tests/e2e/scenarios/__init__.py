"""One file a scenario: ABOUT, SECONDS_MAX, ORACLE, run(env). What they share lives beside this
folder; a scenario never names another.
"""
