package schemas

// StockDelta is one change of the stock of one SKU at one location. The meaning of each field stands in StockDelta.avsc.
type StockDelta struct {
	RecordID         string                 `json:"recordId"`
	SKU              string                 `json:"sku"`
	Location         string                 `json:"location"`
	Mode             Mode                   `json:"mode"`
	OnHand           Optional[Milli]        `json:"onHand"`
	SafetyStockCount Optional[Milli]        `json:"safetyStockCount"`
	Futures          Optional[List[Future]] `json:"futures"` // null leaves the futures, an empty list clears them
	Cleared          List[StockField]       `json:"cleared"`
	EffectiveDate    Optional[Micros]       `json:"effectiveDate"`
	ExternalRefID    Optional[string]       `json:"externalRefId"`
}

// Future is one expected restock.
type Future struct {
	Quantity     Milli  `json:"quantity"`
	ExpectedDate Micros `json:"expectedDate"`
}

// ReservationEvent is one action on a reservation. The meaning of each field stands in ReservationEvent.avsc.
// Mind that AllowPartial is true by default in the schema, and false in a zero ReservationEvent.
type ReservationEvent struct {
	RequestID               string           `json:"requestId"`
	ReservationID           string           `json:"reservationId"`
	SKU                     string           `json:"sku"`
	Action                  Action           `json:"action"`
	Quantity                Optional[Milli]  `json:"quantity"`
	Location                Optional[string] `json:"location"`
	Group                   Optional[string] `json:"group"`
	ToLocation              Optional[string] `json:"toLocation"`
	ToGroup                 Optional[string] `json:"toGroup"`
	AllowPartial            bool             `json:"allowPartial"`
	FulfillOnly             bool             `json:"fulfillOnly"`
	IgnoreAvailabilityCheck bool             `json:"ignoreAvailabilityCheck"`
	EventTime               Optional[Micros] `json:"eventTime"`
	ExpiresAt               Optional[Micros] `json:"expiresAt"`
	ExternalRefID           Optional[string] `json:"externalRefId"`
}

// ReservationResult is the final answer to one ReservationEvent. The meaning of each field stands in
// ReservationResult.avsc.
type ReservationResult struct {
	RequestID     string           `json:"requestId"`
	ReservationID string           `json:"reservationId"`
	SKU           string           `json:"sku"`
	Action        Action           `json:"action"`
	Outcome       Outcome          `json:"outcome"`
	Requested     Milli            `json:"requested"`
	Granted       Milli            `json:"granted"`
	ErrorCode     Optional[string] `json:"errorCode"`
	Message       Optional[string] `json:"message"`
	TightGroups   List[string]     `json:"tightGroups"`
	Version       int64            `json:"version"`
}

// AvailabilityUpdate is the level of one SKU at one place. The meaning of each field stands in AvailabilityUpdate.avsc.
type AvailabilityUpdate struct {
	Place               string           `json:"place"`
	PlaceType           PlaceType        `json:"placeType"`
	SKU                 string           `json:"sku"`
	OnHand              Milli            `json:"onHand"`
	Reserved            Milli            `json:"reserved"`
	GroupReserved       Milli            `json:"groupReserved"`
	SharedGroupReserved Milli            `json:"sharedGroupReserved"`
	SafetyStockCount    Milli            `json:"safetyStockCount"`
	Futures             List[Future]     `json:"futures"`
	FutureQuantity      Milli            `json:"futureQuantity"`
	NextExpectedDate    Optional[Micros] `json:"nextExpectedDate"`
	ATF                 Milli            `json:"atf"`
	ATO                 Milli            `json:"ato"`
	Shortfall           Milli            `json:"shortfall"`
	EffectiveDate       Optional[Micros] `json:"effectiveDate"`
	GraphVersion        int64            `json:"graphVersion"`
	Version             int64            `json:"version"`
	ComputedAt          Micros           `json:"computedAt"`
}

// LocationGraph is one whole published graph. The meaning of each field stands in LocationGraph.avsc.
type LocationGraph struct {
	Version     int64               `json:"version"`
	PublishedAt Micros              `json:"publishedAt"`
	Locations   List[Location]      `json:"locations"`
	Groups      List[LocationGroup] `json:"groups"`
}

// Location is one source of stock.
type Location struct {
	ExternalReference string `json:"externalReference"`
	Name              string `json:"name"`
	LocationType      string `json:"locationType"`
	InventoryLocation bool   `json:"inventoryLocation"`
	Sync              bool   `json:"sync"`
	Since             int64  `json:"since"` // graph version in which the location last joined
}

// LocationGroup is a set of locations whose quantities are summed.
type LocationGroup struct {
	ExternalReference string       `json:"externalReference"`
	Name              string       `json:"name"`
	Enabled           bool         `json:"enabled"`
	Sync              bool         `json:"sync"`
	Locations         List[string] `json:"locations"`
}
