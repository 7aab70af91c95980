package number

import "testing"

func TestCountries(t *testing.T) {
	all := Countries()
	if len(all) < 200 || all[0].Name != "Afghanistan" || all[1].Region != "AX" {
		t.Errorf("%d countries, %v first", len(all), all[:2])
	}
	for _, c := range all {
		if c.Name == "" || c.Name == c.Region {
			t.Errorf("%s has the name %q", c.Region, c.Name)
		}
	}
	if CountryName("DE") != "Germany" || CountryName("ZZ") != "" {
		t.Error(CountryName("DE"), CountryName("ZZ"))
	}
}

func TestRegionOfIMSI(t *testing.T) {
	for imsi, want := range map[string]string{
		"262011234567890": "DE", "234150000000000": "GB", "310260000000000": "US", "232": "", "": "", "001010000000001": "", "999990000000000": "",
	} {
		if got := RegionOfIMSI(imsi); got != want {
			t.Errorf("%s: %q, want %q", imsi, got, want)
		}
	}
	for at := 0; at < len(mobileCountries); at += 5 { // each line names a country, once
		if region := mobileCountries[at+3 : at+5]; !ValidRegion(region) {
			t.Errorf("%s is no country", region)
		}
		if at >= 5 && mobileCountries[at:at+3] <= mobileCountries[at-5:at-2] {
			t.Errorf("%s stands behind %s", mobileCountries[at:at+3], mobileCountries[at-5:at-2])
		}
	}
}
