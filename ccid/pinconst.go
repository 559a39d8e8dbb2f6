package ccid

// Bits of bEntryValidationCondition (CCID 1.1, 6.1.11).
const (
	conditionMax     = 1
	conditionEnter   = 2
	conditionTimeout = 4
)

type vendorFeatures struct{}
