package time

// A bare machine has no time zone database: local time is UTC.

var platformZoneSources []string

func initLocal() { localLoc.name = "UTC" }
