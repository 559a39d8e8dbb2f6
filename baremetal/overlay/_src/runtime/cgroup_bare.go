package runtime

// There is one CPU, and there are no control groups.

func defaultGOMAXPROCSInit()          {}
func defaultGOMAXPROCSUpdateGODEBUG() {}

func defaultGOMAXPROCS(ncpu int32) int32 { return max(ncpu, 1) }
